//! ImageNet's validation images beside each other, with a list of labels.

use creamery_data::OpenOptions;

use super::made::{CLASSES, Place, jpeg};

fn place() -> Place {
    let place = Place::new();
    for (number, class) in CLASSES.iter().enumerate() {
        place.write(&format!("flat/train/{class}/a.jpg"), jpeg(number));
        place.write(&format!("flat/val/val_{number}.JPEG"), jpeg(10 + number));
    }
    place
}

#[test]
fn the_list_is_found_or_named() {
    let place = place();
    let refused = place
        .open("folder:flat", &OpenOptions::default())
        .unwrap_err();
    assert!(
        refused.is_usage() && refused.to_string().contains("val_labels.txt"),
        "{refused}"
    );

    for name in ["flat/val_labels.txt", "flat/val/labels.txt"] {
        place.write(name, "cat\nant\nbee\n");
        let data = place.opened("folder:flat");
        let labels: Vec<_> = (0..3).map(|i| data.test.label(i)).collect();
        assert_eq!(labels, [2, 0, 1]);
        std::fs::remove_file(place.path(name)).unwrap();
    }
    place.write("elsewhere.csv", "val_0,bee\nval_2,1\n");
    let options = OpenOptions {
        val_labels: Some(place.path("elsewhere.csv")),
        ..OpenOptions::default()
    };
    let data = place.open("folder:flat", &options).unwrap();
    assert_eq!(
        (data.test.len(), data.test.label(0), data.test.label(1)),
        (2, 1, 1)
    );
}

#[test]
fn what_does_not_fit_is_told() {
    let place = place();
    place.write("flat/val_labels.txt", "val_0 ant\nval_1 wasp\n");
    let refusal = place.refusal("folder:flat");
    assert!(
        refusal.contains("val_labels.txt, line 2: `wasp` is no class of train/"),
        "{refusal}"
    );
    place.write("flat/val_labels.txt", [0xff, 0xfe]);
    assert!(place.refusal("folder:flat").contains("cannot read"));
}
