//! How a network does class by class, as text and as JSON.

use creamery_train::Confusion;
use serde_json::{Value, json};

use crate::overview::{self, exact};

/// Mistakes that are told.
const MISTAKES: usize = 5;

/// Recall and precision of every class, and the most frequent mistakes.
pub(crate) fn table(confusion: &Confusion) -> String {
    let percent = |value: f64| match value.is_finite() {
        true => format!("{value:.2}%"),
        false => "-".to_owned(),
    };
    let classes = confusion.classes.iter().zip(&confusion.images);
    let rows = classes.zip(confusion.by_class());
    let rows = rows.map(|((name, images), accuracy)| {
        let shares = [accuracy.recall, accuracy.precision].map(percent);
        [name.clone(), exact(*images)]
            .into_iter()
            .chain(shares)
            .collect()
    });
    let header = ["class", "images", "recall", "precision"];
    let mut text = format!("\n{}", overview::table(&header, &[], rows.collect()));
    let mistakes = confusion.mistakes();
    if !mistakes.is_empty() {
        text.push_str("\nmost often taken for another:\n");
    }
    for &(label, choice, count) in mistakes.iter().take(MISTAKES) {
        let (label, choice) = (&confusion.classes[label], &confusion.classes[choice]);
        text.push_str(&format!(" {label} for {choice}: {}\n", exact(count)));
    }
    text
}

/// The same, a list of the classes; what is not a number is `null`.
pub(crate) fn json(confusion: &Confusion) -> Value {
    let classes = confusion.classes.iter().zip(&confusion.images);
    classes
        .zip(confusion.by_class())
        .map(|((name, images), accuracy)| {
            json!({
                "name": name,
                "images": images,
                "recall": accuracy.recall,
                "precision": accuracy.precision,
            })
        })
        .collect()
}
