//! Charts for pages, read back as XML.

use creamery_space::{Space, preset};
use creamery_train::Confusion;
use creamery_view::chart::{
    Axis, BoardTimeline, ChartError, ConfusionMatrix, Group, HeatMap, Lines, Network, Pareto,
    Point, Series, Tenure, style,
};
use proptest::prelude::*;
use roxmltree::{Document, Node};

/// A name that would break a page if it were not escaped.
const HOSTILE: &str = "<script>\"'&]]>\u{0}";

fn lines(series: Vec<Series>, log: [bool; 2]) -> Lines {
    Lines {
        title: HOSTILE.into(),
        x: Axis::new("epochs", ""),
        y: Axis::new("top-1", "%"),
        series,
        log,
        caption: "Dashed: on held-out images.".into(),
    }
}

fn point(x: f64, y: f64, label: Option<&str>) -> Point {
    Point {
        x,
        y,
        name: format!("{HOSTILE}{x}"),
        label: label.map(str::to_owned),
    }
}

fn all<'a, 'input>(
    document: &'a Document<'input>,
    tag: &'a str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    document
        .descendants()
        .filter(move |node| node.has_tag_name(tag))
}

/// Whether each number that places something is finite, and within the picture where it is a place.
fn is_drawn(svg: &str) -> Result<(), TestCaseError> {
    let document = Document::parse(svg).map_err(|e| TestCaseError::fail(format!("{e}: {svg}")))?;
    let root = document.root_element();
    prop_assert!(root.has_tag_name("svg") && root.attribute("class") == Some("chart"));
    let view: Vec<f64> = root
        .attribute("viewBox")
        .unwrap()
        .split(' ')
        .map(|n| n.parse().unwrap())
        .collect();
    for node in document.descendants().filter(Node::is_element) {
        for (names, most) in [
            (["x", "cx", "x1", "x2"], view[2]),
            (["y", "cy", "y1", "y2"], view[3]),
        ] {
            for name in names {
                if let Some(value) = node.attribute(name) {
                    let value: f64 = value.parse().unwrap();
                    prop_assert!(
                        (-0.5..=most + 0.5).contains(&value),
                        "{name} {value} of {node:?}"
                    );
                }
            }
        }
        for name in ["width", "height", "r"] {
            if let Some(value) = node.attribute(name) {
                prop_assert!(value.parse::<f64>().unwrap() >= 0.0);
            }
        }
        if let Some(d) = node.attribute("d") {
            prop_assert!(!d.contains("NaN") && !d.contains("inf"), "{d}");
        }
    }
    Ok(())
}

fn numbers() -> impl Strategy<Value = f64> {
    (-1.0f64..1.0, -9i32..9).prop_map(|(v, power)| v * 10f64.powi(power))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_curves_are_drawn(
        curves in prop::collection::vec(prop::collection::vec(numbers(), 0..30), 0..7),
        log: [bool; 2],
        ranged: bool,
    ) {
        let series: Vec<Series> = curves.iter().enumerate().map(|(i, ys)| Series {
            name: "x".repeat(4 * i),
            points: ys.iter().enumerate().map(|(x, y)| [x as f64, *y]).collect(),
            range: ys.iter().filter(|_| ranged).map(|y| [y - 1.0, y + 1.0]).collect(),
            dashed: i % 2 == 1,
        }).collect();
        let some = curves.iter().any(|curve| !curve.is_empty());
        match lines(series, log).svg() {
            Ok(svg) => is_drawn(&svg)?,
            Err(error) => prop_assert!(!some && matches!(error, ChartError::Empty(_)), "{error}"),
        }
    }

    #[test]
    fn any_points_are_drawn_and_none_of_the_front_is_lost(
        groups in prop::collection::vec(prop::collection::vec((numbers(), numbers()), 1..40), 1..4),
    ) {
        let chart = Pareto {
            title: "Accuracy against cost".into(),
            x: Axis::new("MACs", ""),
            y: Axis::new("top-1", "%"),
            groups: groups.iter().map(|points| Group {
                name: "run".into(),
                points: points.iter().map(|(x, y)| point(*x, *y, None)).collect(),
            }).collect(),
            caption: String::new(),
        };
        let svg = chart.svg().unwrap();
        is_drawn(&svg)?;
        let document = Document::parse(&svg).unwrap();
        let drawn: Vec<f64> = all(&document, "circle").map(|c| c.attribute("data-y").unwrap().parse().unwrap()).collect();
        for points in &groups {
            let best = points.iter().map(|(_, y)| *y).fold(f64::MIN, f64::max);
            prop_assert!(drawn.contains(&best));
        }
    }

    #[test]
    fn any_board_is_drawn(
        tenures in prop::collection::vec((0.0f64..9.0, 0.0f64..9.0, 0.0f64..100.0, 0usize..3, prop::option::of(0usize..12)), 1..12),
    ) {
        let mut tenures = tenures;
        tenures.sort_by(|a, b| a.0.total_cmp(&b.0));
        let chart = BoardTimeline {
            title: "board".into(),
            x: Axis::new("epochs", ""),
            tenures: tenures.iter().map(|(from, stay, score, bucket, teacher)| Tenure {
                name: HOSTILE.into(),
                from: *from,
                to: from + stay,
                score: *score,
                details: String::new(),
                // Also one that is not there.
                teacher: *teacher,
                label: teacher.map(|_| "winner".into()),
                bucket: *bucket,
            }).collect(),
            caption: String::new(),
        };
        is_drawn(&chart.svg().unwrap())?;
    }
}

#[test]
fn every_published_network_is_drawn_layer_by_layer() {
    let space = Space::builtin("cream-224").unwrap();
    for name in creamery_space::preset_names() {
        let architecture = preset(name).unwrap().architecture;
        let layers = space.layers(&architecture, 3, 1000).unwrap();
        let count = layers.len();
        let chart = Network {
            title: name.into(),
            layers,
            caption: String::new(),
        };
        let svg = chart.svg().unwrap();
        is_drawn(&svg).unwrap();
        let document = Document::parse(&svg).unwrap();
        let named = document
            .descendants()
            .filter(|node| node.has_attribute("data-name"));
        assert_eq!(named.count(), count);
        let titles: Vec<&str> = all(&document, "title").filter_map(|t| t.text()).collect();
        assert!(
            titles[0].starts_with("stem: convolution, kernel 3×3, stride 2"),
            "{titles:?}"
        );
    }
}

#[test]
fn what_is_pointed_at_says_what_it_is() {
    let series = Series {
        name: "held out".into(),
        points: vec![[1.0, 40.0], [2.0, 50.5]],
        ..Series::default()
    };
    let svg = lines(vec![series], [false, false]).svg().unwrap();
    let document = Document::parse(&svg).unwrap();
    let spot = all(&document, "circle").last().unwrap();
    assert_eq!(spot.attribute("data-name"), Some("held out"));
    assert_eq!(spot.attribute("data-y"), Some("50.5"));
    let title = spot.first_element_child().unwrap().text().unwrap();
    assert_eq!(title, "held out\nepochs: 2\ntop-1: 50.5%");
}

#[test]
fn cells_have_their_share_and_what_does_not_exist_is_left_out() {
    let chart = HeatMap {
        title: "Operations".into(),
        of: ["stage.block".into(), "kernel".into()],
        rows: vec!["1.1".into(), HOSTILE.into()],
        columns: vec!["3×3".into(), "skip".into()],
        shares: vec![vec![0.25, f64::NAN], vec![1.0, 0.0]],
        marked: vec![(0, 0)],
        caption: String::new(),
    };
    let svg = chart.svg().unwrap();
    is_drawn(&svg).unwrap();
    let document = Document::parse(&svg).unwrap();
    let texts: Vec<&str> = all(&document, "text").filter_map(|t| t.text()).collect();
    for text in ["25", "100", "0"] {
        assert!(texts.contains(&text), "{texts:?}");
    }
    let says: Vec<&str> = all(&document, "title").filter_map(|t| t.text()).collect();
    assert!(
        says.contains(&"1.1, 3×3: 25%") && !says.iter().any(|s| s.contains("NaN")),
        "{says:?}"
    );
}

#[test]
fn of_many_classes_those_with_most_mistakes_are_drawn() {
    let names: Vec<String> = (0..100).map(|i| format!("class {i}")).collect();
    let mut confusion = Confusion::new(&names);
    for class in 0..100 {
        confusion.add(class, Some(class));
    }
    confusion.add(97, Some(98));
    let chart = ConfusionMatrix {
        title: "classes".into(),
        confusion: &confusion,
    };
    let svg = chart.svg().unwrap();
    is_drawn(&svg).unwrap();
    for text in ["class 97 taken for class 98: 1 of 2 (50.0%)", "24 of 100"] {
        let words = text.split(' ');
        assert!(words.into_iter().all(|word| svg.contains(word)), "{text}");
    }
    // A file that does not fit together is no matrix.
    confusion.counts.pop();
    let broken = ConfusionMatrix {
        title: "classes".into(),
        confusion: &confusion,
    };
    assert!(matches!(broken.svg(), Err(ChartError::Empty(_))));
}

#[test]
fn what_is_no_number_is_refused_by_name() {
    let series = Series {
        name: "loss".into(),
        points: vec![[0.0, f64::NAN]],
        ..Series::default()
    };
    let error = lines(vec![series], [false, false]).svg().unwrap_err();
    assert!(
        error.to_string().contains("`loss` cannot be drawn"),
        "{error}"
    );
}

#[test]
fn every_colour_has_a_light_and_a_dark_form() {
    let css = style();
    let series = (0..6).map(|i| Series {
        name: i.to_string(),
        points: vec![[0.0, f64::from(i)]],
        ..Series::default()
    });
    let svg = lines(series.collect(), [false, false]).svg().unwrap();
    let used = svg.match_indices("var(--chart-").map(|(at, start)| {
        let rest = &svg[at + start.len()..];
        rest[..rest.find(',').unwrap()].to_owned()
    });
    let used: std::collections::BTreeSet<String> = used.collect();
    assert!(used.len() >= 8, "{used:?}");
    for colour in used {
        assert_eq!(
            css.matches(&format!("--chart-{colour}:")).count(),
            2,
            "{colour}"
        );
    }
}
