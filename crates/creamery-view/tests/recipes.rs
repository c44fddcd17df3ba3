//! The learning-rate curves in docs/images are those of the recipes.
//!
//! `DRAW=1 cargo test -p creamery-view --test recipes` draws them anew.

use std::fs;
use std::path::Path;

use creamery_train::{Layers, RECIPES, Recipe, RetrainConfig};
use creamery_view::chart::{Axis, Lines, Series, style};

/// Steps of an epoch in the drawings: as fine as can be seen.
const STEPS: u64 = 20;

fn curve(name: &str) -> String {
    let recipe = Recipe::named(name).unwrap();
    let layers = Layers {
        defaults: recipe.settings,
        ..Layers::default()
    };
    let config: RetrainConfig = layers.resolve().unwrap();
    let schedule = config.train.schedule(STEPS);
    // Every step of warm-up; of the long way down, 300 points.
    let every = (schedule.steps / 300).max(1);
    let drawn = |step: &u64| *step <= schedule.warmup + every || step.is_multiple_of(every);
    let points = (0..=schedule.steps).filter(drawn);
    let lines = Lines {
        title: format!("Learning rate of the recipe `{name}`"),
        x: Axis::new("epoch", ""),
        y: Axis::new("rate", ""),
        series: vec![Series {
            points: points
                .map(|step| [step as f64 / STEPS as f64, schedule.lr(step)])
                .collect(),
            ..Series::default()
        }],
        log: [false; 2],
        caption: format!(
            "{} epochs, batch {}, {} of warm-up from {:e} to {}",
            config.train.epochs,
            config.train.batch,
            config.train.lr_warmup_epochs,
            config.train.lr_warmup_from,
            config.train.lr,
        ),
    };
    // A fragment of a page becomes a document of its own.
    let open = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\"><style>{}</style>",
        style()
    );
    let fragment = lines.svg().unwrap();
    let head = fragment.find('>').unwrap();
    let attributes = fragment[..head]
        .strip_prefix("<svg class=\"chart\"")
        .unwrap();
    open.replacen("\"><", &format!("\"{attributes}><"), 1) + &fragment[head + 1..]
}

#[test]
fn learning_rates_are_drawn_as_they_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/images");
    for name in RECIPES {
        let (path, drawn) = (folder.join(format!("lr-{name}.svg")), curve(name));
        if std::env::var_os("DRAW").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &drawn).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == drawn,
            "{} is out of date: draw it anew with DRAW=1",
            path.display()
        );
    }
}
