//! Scatter charts, read back as XML.

use creamery_view::chart::{Axis, ChartError, Point, Scatter};
use proptest::prelude::*;
use roxmltree::{Document, Node};

fn scatter(coordinates: &[[f64; 2]]) -> Scatter {
    let points = coordinates.iter().enumerate();
    Scatter {
        title: "Supernet and alone".into(),
        x: Axis::new("with the supernet's weights", "%"),
        y: Axis::new("latency", "ms"),
        points: points
            .map(|(i, [x, y])| Point {
                x: *x,
                y: *y,
                name: format!("tiny-32@28:{i}"),
                label: None,
            })
            .collect(),
        caption: "tau-b 0.62 [0.41, 0.78], n = 30".into(),
    }
}

fn number(node: &Node<'_, '_>, attribute: &str) -> f64 {
    node.attribute(attribute).unwrap().parse().unwrap()
}

fn all<'a, 'input>(
    document: &'a Document<'input>,
    tag: &'a str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    document
        .descendants()
        .filter(move |node| node.has_tag_name(tag))
}

fn texts(document: &Document<'_>) -> Vec<String> {
    let texts = all(document, "text");
    texts.map(|node| node.text().unwrap().to_owned()).collect()
}

/// The centres of the points, in their order.
fn centres(document: &Document<'_>) -> Vec<[f64; 2]> {
    let circles = all(document, "circle");
    circles
        .map(|circle| [number(&circle, "cx"), number(&circle, "cy")])
        .collect()
}

/// Value and pixel of the ticks of one axis: its labels are the numbers that stand in a row or end in a column.
fn ticks(document: &Document<'_>, horizontal: bool) -> Vec<(f64, f64)> {
    let (anchor, along) = if horizontal {
        ("middle", "x")
    } else {
        ("end", "y")
    };
    let labels = all(document, "text").filter(|node| node.attribute("text-anchor") == Some(anchor));
    let ticks = labels.filter_map(|node| Some((node.text()?.parse().ok()?, number(&node, along))));
    ticks.collect()
}

#[test]
fn points_lie_where_the_ticks_say() {
    let points = [[40.0, 7.0], [47.25, 3.5], [41.5, 9.0], [45.0, 5.125]];
    let svg = scatter(&points).svg().unwrap();
    let document = Document::parse(&svg).unwrap();
    let centres = centres(&document);
    assert_eq!(centres.len(), points.len());
    for direction in [0, 1] {
        let ticks = ticks(&document, direction == 0);
        assert!(ticks.len() >= 3, "{ticks:?}");
        let ((v0, p0), (v1, p1)) = (ticks[0], ticks[ticks.len() - 1]);
        // The base line of a label is a third of a line below its tick.
        let shift = if direction == 0 { 0.0 } else { -4.5 };
        for (point, centre) in points.iter().zip(&centres) {
            let expected = p0 + (point[direction] - v0) / (v1 - v0) * (p1 - p0) + shift;
            assert!(
                (centre[direction] - expected).abs() < 0.05,
                "{centre:?}, not {expected}"
            );
        }
    }
    // Up is more.
    assert!(centres[2][1] < centres[1][1]);
}

#[test]
fn everything_to_be_read_is_there() {
    let mut chart = scatter(&[[40.0, 7.0], [47.25, 3.5]]);
    chart.points[1].label = Some("best".into());
    let svg = chart.svg().unwrap();
    let document = Document::parse(&svg).unwrap();
    let texts = texts(&document);
    for text in [
        "Supernet and alone",
        "with the supernet's weights (%)",
        "latency (ms)",
        "tau-b 0.62 [0.41, 0.78], n = 30",
        "best",
    ] {
        assert!(texts.iter().any(|t| t == text), "{text} in {texts:?}");
    }
    let tips: Vec<_> = all(&document, "title")
        .filter_map(|node| node.text())
        .collect();
    assert_eq!(
        tips[0],
        "tiny-32@28:0\nwith the supernet's weights: 40%\nlatency: 7 ms"
    );
    assert_eq!(
        tips[1],
        "tiny-32@28:1\nwith the supernet's weights: 47.25%\nlatency: 3.5 ms"
    );
    assert_eq!(
        document.root_element().attribute("aria-label"),
        Some("Supernet and alone")
    );
    // Legible where a page gives it no more than its own width.
    let sizes = all(&document, "text").map(|node| number(&node, "font-size"));
    assert!(sizes.min_by(f64::total_cmp).unwrap() >= 12.0);
    assert_eq!(number(&document.root_element(), "width"), 480.0);
}

#[test]
fn text_is_text_whatever_it_holds() {
    let hostile = "<script>&\"' ]]> \u{0} \u{1b}[31m \u{ffff} ünï 字";
    let mut chart = scatter(&[[1.0, 2.0], [2.0, 1.0]]);
    chart.title = hostile.into();
    chart.caption = hostile.into();
    (chart.x, chart.y) = (Axis::new(hostile, hostile), Axis::new(hostile, hostile));
    chart.points[0].name = hostile.into();
    chart.points[0].label = Some(hostile.into());
    let svg = chart.svg().unwrap();
    let document = Document::parse(&svg).unwrap();
    assert_eq!(all(&document, "script").count(), 0);
    let safe = hostile.replace(['\0', '\u{1b}', '\u{ffff}'], "\u{fffd}");
    assert_eq!(
        document.root_element().attribute("aria-label"),
        Some(&safe[..])
    );
    assert!(texts(&document).contains(&safe), "the label is one text");
}

#[test]
fn what_cannot_be_drawn_is_refused_by_name() {
    assert_eq!(
        scatter(&[]).svg(),
        Err(ChartError::Empty("Supernet and alone".into()))
    );
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
        let error = scatter(&[[1.0, 2.0], [value, 1.0]]).svg().unwrap_err();
        let message = "`tiny-32@28:1` cannot be drawn, its `with the supernet's weights` is";
        assert!(error.to_string().starts_with(message), "{error}");
        let error = scatter(&[[1.0, value]]).svg().unwrap_err();
        assert!(error.to_string().contains("`latency`"), "{error}");
    }
}

#[test]
fn labels_avoid_each_other_and_the_points() {
    // Right of the first point the paper ends; left of it is the third, whose label finds both sides taken.
    let mut chart = scatter(&[[100.0, 50.0], [0.0, 50.0], [93.0, 50.0]]);
    chart.points[0].label = Some("winner of the search".into());
    chart.points[2].label = Some("runner-up".into());
    let svg = chart.svg().unwrap();
    let document = Document::parse(&svg).unwrap();
    let boxes: Vec<[f64; 4]> = ["winner of the search", "runner-up"]
        .map(|text| {
            let label = all(&document, "text")
                .find(|node| node.text() == Some(text))
                .unwrap();
            let (x, y, width) = (
                number(&label, "x"),
                number(&label, "y"),
                6.0 * text.len() as f64,
            );
            let left = match label.attribute("text-anchor").unwrap() {
                "start" => x,
                "middle" => x - width / 2.0,
                _ => x - width,
            };
            [left, left + width, y - 9.0, y + 2.0]
        })
        .into();
    let apart =
        |a: &[f64; 4], b: &[f64; 4]| a[1] < b[0] || b[1] < a[0] || a[3] < b[2] || b[3] < a[2];
    assert!(apart(&boxes[0], &boxes[1]), "{boxes:?}");
    for [x, y] in centres(&document) {
        let point = [x - 4.0, x + 4.0, y - 4.0, y + 4.0];
        assert!(
            boxes.iter().all(|label| apart(label, &point)),
            "{boxes:?} {point:?}"
        );
    }
    assert!(boxes.iter().all(|label| label[1] < 480.0), "{boxes:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// One point, equal values, huge and tiny ones: everything lies on the paper.
    #[test]
    fn any_finite_points_lie_on_the_paper(
        values in prop::collection::vec([(-1.0f64..1.0, -300i32..300), (-1.0f64..1.0, -300i32..300)], 1..12),
        equal in any::<bool>(),
        label in "[a-zA-Z ]{1,40}",
    ) {
        let mut points: Vec<[f64; 2]> =
            values.into_iter().map(|pair| pair.map(|(v, power)| v * 10f64.powi(power))).collect();
        if equal {
            let first = points[0];
            points.fill(first);
        }
        let mut chart = scatter(&points);
        chart.points[0].label = Some(label);
        let svg = chart.svg().unwrap();
        let document = Document::parse(&svg).unwrap();
        let height = number(&document.root_element(), "height");
        for [x, y] in centres(&document) {
            prop_assert!((0.0..480.0).contains(&x) && (0.0..height).contains(&y), "{x} {y}");
        }
        for text in all(&document, "text") {
            let (x, y) = (number(&text, "x"), number(&text, "y"));
            prop_assert!((0.0..=480.0).contains(&x) && (0.0..=height).contains(&y), "{text:?}");
        }
        prop_assert!(!svg.contains("NaN") && !svg.contains("\"inf"));
    }
}
