"""Tokens with vectors of their own for each layer of the U-Net that reads the prompt.

P+ (Voynov et al. 2023, arXiv 2303.09522): an ordinary prompt is encoded once and all layers read the same
encoding; here the text encoder encodes it once for each layer, and a token stands for other vectors each
time.  Words of the vocabulary are the same in all layers.  As in Textual Inversion, only those vectors are
learned.

The encodings for all layers stand beside each other, (n, tokens, layers d), so that guidance and the
pipelines of diffusers treat them as any other; a hook before each layer passes on its part.
"""

from functools import partial

import torch


def prompt_layers(unet):
    """The modules of a UNet2DConditionModel that read the prompt, in the order in which they do.

    Its cross-attention layers and, where a pooled encoding joins that of the time, before them what pools it.
    """
    from diffusers.models.attention_processor import Attention

    blocks = *unet.down_blocks, unet.mid_block, *unet.up_blocks
    modules = (module for block in blocks for module in block.modules())
    layers = [module for module in modules if isinstance(module, Attention) and module.is_cross_attention]
    return [unet.add_embedding, *layers] if unet.config.addition_embed_type == 'text' else layers


def names_in_layers(unet, tokens, per_layer=True):
    """What the vocabulary calls tokens, layer by layer: `<cyst>` in the first one, then `<cyst@1>`, ..."""
    layers = len(prompt_layers(unet)) if per_layer else 1
    return [*tokens, *(f'{token[:-1]}@{i}>' for i in range(1, layers) for token in tokens)]


def read_by_layer(pipeline, tokens):
    """Let each of the `prompt_layers` of a pipeline read its own vectors of `tokens` from now on.

    The tokenizer must know the vectors of `names_in_layers(unet, tokens)`, in this order.
    """
    layers = prompt_layers(pipeline.unet)
    ids = pipeline.tokenizer.convert_tokens_to_ids(names_in_layers(pipeline.unet, tokens[:1]))
    first, shifts = ids[0], torch.tensor(ids) - ids[0]
    pipeline.text_encoder.register_forward_pre_hook(partial(repeat_for_layers, first, shifts))
    pipeline.text_encoder.register_forward_hook(partial(place_side_by_side, len(layers)))
    for i, layer in enumerate(layers):
        layer.register_forward_pre_hook(partial(take_part, i, len(layers)), with_kwargs=True)


def repeat_for_layers(first, shifts, _encoder, inputs):
    """Token ids (n, length) -> (n layers, length): from id `first` on, those of each layer's own vectors."""
    ids = inputs[0][:, None]
    own = ids + shifts.to(ids.device)[:, None]
    return torch.where(ids >= first, own, ids).flatten(0, 1), *inputs[1:]


def place_side_by_side(layers, _encoder, _inputs, output):
    """What the text encoder returns, its encodings (n layers, tokens, d) as (n, tokens, layers d)."""
    return (output[0].unflatten(0, (-1, layers)).transpose(1, 2).flatten(2),)


def take_part(i, layers, _layer, inputs, named):
    """Inputs of layer i, of the encodings its own: (n, tokens, layers d) -> (n, tokens, d)."""
    if 'encoder_hidden_states' not in named:
        return (inputs[0].chunk(layers, -1)[i], *inputs[1:]), named
    return inputs, named | {'encoder_hidden_states': named['encoder_hidden_states'].chunk(layers, -1)[i]}
