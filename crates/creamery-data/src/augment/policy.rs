//! The policies of AutoAugment (Cubuk et al. 2019, arXiv 1805.09501), as its tables have them.

/// An operation, its probability and its level.
pub(super) type Step = (&'static str, f64, f64);

/// Two operations, one after the other.
pub(super) type Policy = &'static [[Step; 2]];

/// Table 9 of the paper: ImageNet. `timm` calls it `original`.
#[rustfmt::skip]
pub(super) const IMAGENET: Policy = &[
    [("PosterizeOriginal", 0.4, 8.0), ("Rotate", 0.6, 9.0)],
    [("Solarize", 0.6, 5.0), ("AutoContrast", 0.6, 5.0)],
    [("Equalize", 0.8, 8.0), ("Equalize", 0.6, 3.0)],
    [("PosterizeOriginal", 0.6, 7.0), ("PosterizeOriginal", 0.6, 6.0)],
    [("Equalize", 0.4, 7.0), ("Solarize", 0.2, 4.0)],
    [("Equalize", 0.4, 4.0), ("Rotate", 0.8, 8.0)],
    [("Solarize", 0.6, 3.0), ("Equalize", 0.6, 7.0)],
    [("PosterizeOriginal", 0.8, 5.0), ("Equalize", 1.0, 2.0)],
    [("Rotate", 0.2, 3.0), ("Solarize", 0.6, 8.0)],
    [("Equalize", 0.6, 8.0), ("PosterizeOriginal", 0.4, 6.0)],
    [("Rotate", 0.8, 8.0), ("Color", 0.4, 0.0)],
    [("Rotate", 0.4, 9.0), ("Equalize", 0.6, 2.0)],
    [("Equalize", 0.0, 7.0), ("Equalize", 0.8, 8.0)],
    [("Invert", 0.6, 4.0), ("Equalize", 1.0, 8.0)],
    [("Color", 0.6, 4.0), ("Contrast", 1.0, 8.0)],
    [("Rotate", 0.8, 8.0), ("Color", 1.0, 2.0)],
    [("Color", 0.8, 8.0), ("Solarize", 0.8, 7.0)],
    [("Sharpness", 0.4, 7.0), ("Invert", 0.6, 8.0)],
    [("ShearX", 0.6, 5.0), ("Equalize", 1.0, 9.0)],
    [("Color", 0.4, 0.0), ("Equalize", 0.6, 3.0)],
    [("Equalize", 0.4, 7.0), ("Solarize", 0.2, 4.0)],
    [("Solarize", 0.6, 5.0), ("AutoContrast", 0.6, 5.0)],
    [("Invert", 0.6, 4.0), ("Equalize", 1.0, 8.0)],
    [("Color", 0.6, 4.0), ("Contrast", 1.0, 8.0)],
    [("Equalize", 0.8, 8.0), ("Equalize", 0.6, 3.0)],
];

/// Table 7 of the paper: CIFAR-10.
#[rustfmt::skip]
pub(super) const CIFAR: Policy = &[
    [("Invert", 0.1, 7.0), ("Contrast", 0.2, 6.0)],
    [("Rotate", 0.7, 2.0), ("TranslateXRel", 0.3, 9.0)],
    [("Sharpness", 0.8, 1.0), ("Sharpness", 0.9, 3.0)],
    [("ShearY", 0.5, 8.0), ("TranslateYRel", 0.7, 9.0)],
    [("AutoContrast", 0.5, 8.0), ("Equalize", 0.9, 2.0)],
    [("ShearY", 0.2, 7.0), ("PosterizeOriginal", 0.3, 7.0)],
    [("Color", 0.4, 3.0), ("Brightness", 0.6, 7.0)],
    [("Sharpness", 0.3, 9.0), ("Brightness", 0.7, 9.0)],
    [("Equalize", 0.6, 5.0), ("Equalize", 0.5, 1.0)],
    [("Contrast", 0.6, 7.0), ("Sharpness", 0.6, 5.0)],
    [("Color", 0.7, 7.0), ("TranslateXRel", 0.5, 8.0)],
    [("Equalize", 0.3, 7.0), ("AutoContrast", 0.4, 8.0)],
    [("TranslateYRel", 0.4, 3.0), ("Sharpness", 0.2, 6.0)],
    [("Brightness", 0.9, 6.0), ("Color", 0.2, 8.0)],
    [("Solarize", 0.5, 2.0), ("Invert", 0.0, 3.0)],
    [("Equalize", 0.2, 0.0), ("AutoContrast", 0.6, 0.0)],
    [("Equalize", 0.2, 8.0), ("Equalize", 0.6, 4.0)],
    [("Color", 0.9, 9.0), ("Equalize", 0.6, 6.0)],
    [("AutoContrast", 0.8, 4.0), ("Solarize", 0.2, 8.0)],
    [("Brightness", 0.1, 3.0), ("Color", 0.7, 0.0)],
    [("Solarize", 0.4, 5.0), ("AutoContrast", 0.9, 3.0)],
    [("TranslateYRel", 0.9, 9.0), ("TranslateYRel", 0.7, 9.0)],
    [("AutoContrast", 0.9, 2.0), ("Solarize", 0.8, 3.0)],
    [("Equalize", 0.8, 8.0), ("Invert", 0.1, 3.0)],
    [("TranslateYRel", 0.7, 9.0), ("AutoContrast", 0.9, 1.0)],
];
