"""CT volumes with lesion masks: DICOM, NIfTI, tables of lesions."""
