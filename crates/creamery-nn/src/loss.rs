//! Losses over logits.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};

/// Target distributions of class labels: `1 - smoothing` on the label plus `smoothing` spread evenly
/// over all classes (Szegedy et al. 2016), shape `[labels, classes]`.
pub fn smoothed_targets(
    labels: &[usize],
    classes: usize,
    smoothing: f64,
    device: &Device,
) -> Tensor<2> {
    let floor = (smoothing / classes as f64) as f32;
    let mut values = vec![floor; labels.len() * classes];
    for (row, label) in labels.iter().enumerate() {
        values[row * classes + label] += (1.0 - smoothing) as f32;
    }
    Tensor::from_data(TensorData::new(values, [labels.len(), classes]), device)
}

/// Cross-entropy of logits `[n, classes]` against target distributions of the same shape, averaged
/// over the `n` images. With hard or smoothed targets this is CE, with a teacher's softmax it is KD.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let n = logits.dims()[0] as f64;
    (log_softmax(logits, 1) * targets).sum() * (-1.0 / n)
}

/// How many of the labels are among the logits' first `k` choices.
///
/// Among equal logits the class with the smaller number comes first, so a network that says the same of
/// every class is not right about all of them. Logits that are not numbers never count.
pub fn correct(logits: &Tensor<2>, labels: &[usize], k: usize) -> usize {
    let [_, classes] = logits.dims();
    values(logits)
        .chunks_exact(classes)
        .zip(labels)
        .filter(|(row, label)| {
            let own = row[**label];
            let ahead = row
                .iter()
                .enumerate()
                .filter(|(class, v)| **v > own || (**v == own && class < label))
                .count();
            own.is_finite() && ahead < k
        })
        .count()
}

/// The first choice of each row of logits, as [`correct`] counts: `None` where the largest is not finite.
pub fn first_choices(logits: &Tensor<2>) -> Vec<Option<usize>> {
    let [_, classes] = logits.dims();
    let first = |row: &[f32]| {
        let (class, value) = (row.iter().enumerate())
            .filter(|(_, value)| !value.is_nan())
            .reduce(|first, next| if next.1 > first.1 { next } else { first })?;
        value.is_finite().then_some(class)
    };
    values(logits).chunks_exact(classes).map(first).collect()
}

fn values(logits: &Tensor<2>) -> Vec<f32> {
    let data = logits.clone().inner().into_data();
    data.try_into_vec().expect("logits are f32")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_smaller_class() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_data([[1.0, 2.0, 3.0], [5.0, 5.0, 1.0]], &device);
        assert_eq!(correct(&logits, &[2, 0], 1), 2);
        assert_eq!(correct(&logits, &[2, 1], 1), 1);
        assert_eq!(correct(&logits, &[1, 1], 2), 2);
        assert_eq!(correct(&logits, &[0, 2], 2), 0);
        let lost = Tensor::<2>::full([1, 2], f32::NAN, &device);
        assert_eq!(correct(&lost, &[0], 2), 0);
    }

    #[test]
    fn a_label_is_right_where_it_is_the_first_choice() {
        let (device, odd) = (Device::flex(), [f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        let some = [odd[0], odd[1], odd[2], 0.0, 1.0];
        for row in (0..125).map(|i| [some[i % 5], some[i / 5 % 5], some[i / 25]]) {
            let logits = Tensor::<2>::from_data([row], &device);
            let first = first_choices(&logits)[0];
            for label in 0..3 {
                let right = correct(&logits, &[label], 1) == 1;
                assert_eq!(right, first == Some(label), "{row:?}, {label}");
            }
        }
    }

    #[test]
    fn smoothing_keeps_a_distribution() {
        let targets = smoothed_targets(&[1], 4, 0.1, &Device::flex());
        let values: Vec<f32> = targets.into_data().try_into_vec().unwrap();
        assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((values[1] - 0.925).abs() < 1e-6 && (values[0] - 0.025).abs() < 1e-6);
    }
}
