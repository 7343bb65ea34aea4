"""GANs trained from scratch: DCGAN and StyleGAN2."""
