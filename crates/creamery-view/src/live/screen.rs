//! The picture: from what a run did to what the terminal shows. Pure, so that tests can look at it.

use creamery_train::event::BoardRow;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Axis, Block, Borders, Chart, Dataset, GraphType, LineGauge, Paragraph, Row, Table,
};

use super::history::History;
use crate::numbers::rounded_count;
use crate::record::Curve;
use crate::standing::short_rate;

/// Told apart with any kind of sight, and named where they stand.
const TRAINED: Color = Color::Cyan;
const HELD_OUT: Color = Color::Yellow;

/// Columns beside which the board has room for architectures.
const WIDE: u16 = 110;

/// Rows of charts in which there is room for two of them.
const TALL: u16 = 20;

pub(super) fn draw(frame: &mut Frame<'_>, history: &History, stopping: bool) {
    let warnings = history.warnings.len().min(3) as u16;
    let [head, gauge, state, charts, table, below, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(7),
        Constraint::Length(table_rows(history, frame.area().height)),
        Constraint::Length(warnings),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    title(frame, head, history);
    progress(frame, gauge, history);
    let message = (history.standing).headline(history.elapsed(), history.waited);
    frame.render_widget(Paragraph::new(message), state);
    if history.evaluated.is_empty() {
        training(frame, charts, history);
    } else {
        selection(frame, charts, history);
    }
    if !history.board.is_empty() {
        board(frame, table, history);
    }
    warned(frame, below, history);
    footer(frame, foot, stopping);
}

/// The curves of the training; those of the learning rate and of rho where there is room.
fn training(frame: &mut Frame<'_>, area: Rect, history: &History) {
    let halves = |area: Rect| Layout::horizontal([Constraint::Fill(1); 2]).areas::<2>(area);
    let more = area.height >= TALL && !history.lr.is_empty();
    let [above, below] = match more {
        true => Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(area),
        false => [area, Rect::ZERO],
    };
    let [left, right] = halves(above);
    loss(frame, left, history);
    accuracy(frame, right, history);
    if more {
        let [left, right] = halves(below);
        let left = if history.rho.is_empty() { below } else { left };
        curve(frame, left, history, "learning rate", &history.lr);
        if !history.rho.is_empty() {
            curve(
                frame,
                right,
                history,
                "rho, the weight of teachers",
                &history.rho,
            );
        }
    }
}

/// A curve by itself.
fn curve(frame: &mut Frame<'_>, area: Rect, history: &History, title: &str, curve: &Curve) {
    plot(
        frame,
        area,
        Plot {
            title: Line::from(title.to_owned()),
            lines: vec![(&history.points(curve), TRAINED)],
            across: (0.0, history.epochs.max(1) as f64),
            across_unit: "epochs",
            digits: 3,
            kind: GraphType::Line,
        },
    );
}

/// The board and its frame, as far as they leave the charts some room.
fn table_rows(history: &History, height: u16) -> u16 {
    match history.board.len() as u16 {
        0 => 0,
        entries => (entries + 2).min(height.saturating_sub(14)),
    }
}

fn title(frame: &mut Frame<'_>, area: Rect, history: &History) {
    let mut line = vec![Span::styled(
        history.title.clone(),
        Style::new().add_modifier(Modifier::BOLD),
    )];
    if let Some(images) = history.images {
        let [train, held, test] =
            [images.train, images.validation, images.test].map(|count| rounded_count(count as u64));
        line.push(Span::styled(
            format!("   images: {train} to train on, {held} held out, {test} to test on"),
            Style::new().add_modifier(Modifier::DIM),
        ));
    }
    frame.render_widget(Line::from(line), area);
}

fn progress(frame: &mut Frame<'_>, area: Rect, history: &History) {
    let (done, all) = history.standing.part();
    let part = (done as f64 / all.max(1) as f64).clamp(0.0, 1.0);
    let gauge = LineGauge::default()
        .ratio(part)
        .filled_style(Style::new().fg(TRAINED))
        .label(format!("{:>3.0}%", 100.0 * part));
    frame.render_widget(gauge, area);
}

/// Bounds about values with some room, and the labels of their ends.
fn bounds<'a>(values: impl Iterator<Item = &'a f64>, digits: usize) -> ([f64; 2], Vec<String>) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(*value), high.max(*value))
    });
    let (low, high) = match low.is_finite() {
        true => (low, high),
        false => (0.0, 1.0),
    };
    let room = ((high - low) * 0.05).max(10f64.powi(-(digits as i32)));
    // Room below does not lead to what there cannot be, such as a rate below 0.
    let least = if low < 0.0 { f64::MIN } else { 0.0 };
    let bounds = [(low - room).max(least), high + room];
    let label = |value: f64| format!("{value:.digits$}");
    (bounds, bounds.map(label).to_vec())
}

struct Plot<'a> {
    title: Line<'a>,
    lines: Vec<(&'a [(f64, f64)], Color)>,
    across: (f64, f64),
    across_unit: &'a str,
    digits: usize,
    kind: GraphType,
}

fn plot(frame: &mut Frame<'_>, area: Rect, plot: Plot<'_>) {
    let values = (plot.lines.iter()).flat_map(|(points, _)| points.iter().map(|(_, y)| y));
    let (up, labels) = bounds(values, plot.digits);
    let lines = plot.lines.iter().map(|(points, colour)| {
        Dataset::default()
            .marker(Marker::Braille)
            .graph_type(plot.kind)
            .style(Style::new().fg(*colour))
            .data(points)
    });
    let (from, to) = plot.across;
    let dim = Style::new().add_modifier(Modifier::DIM);
    let unit = plot.across_unit;
    let chart = Chart::new(lines.collect())
        .block(Block::new().borders(Borders::TOP).title(plot.title))
        .x_axis(
            Axis::default()
                .bounds([from, to])
                .labels([short(from), format!("{} {unit}", short(to))])
                .style(dim),
        )
        .y_axis(Axis::default().bounds(up).labels(labels).style(dim));
    frame.render_widget(chart, area);
}

fn short(value: f64) -> String {
    match value.fract() == 0.0 {
        true => format!("{value:.0}"),
        false => format!("{value:.1}"),
    }
}

fn loss(frame: &mut Frame<'_>, area: Rect, history: &History) {
    let mut title = "loss".to_owned();
    if let Some(rate) = history.lr.latest() {
        title.push_str(&format!("   lr {}", short_rate(rate)));
    }
    if let Some(rho) = history.last_rho {
        title.push_str(&format!("   rho {rho:.2}"));
    }
    plot(
        frame,
        area,
        Plot {
            title: Line::from(title),
            lines: vec![(&history.points(&history.loss), TRAINED)],
            across: (0.0, history.epochs.max(1) as f64),
            across_unit: "epochs",
            digits: 2,
            kind: GraphType::Line,
        },
    );
}

fn accuracy(frame: &mut Frame<'_>, area: Rect, history: &History) {
    let last = |curve: &Curve| curve.latest().map(|top1| format!(" {top1:.1}%"));
    let (training, validation) = (
        history.points(&history.top1),
        history.points(&history.validation),
    );
    let mut title = vec![Span::raw("top-1  "), Span::styled("train", TRAINED)];
    title.extend(last(&history.top1).map(Span::raw));
    let mut lines = vec![(&training[..], TRAINED)];
    if let Some(held_out) = last(&history.validation) {
        title.extend([
            Span::raw("  "),
            Span::styled("held", HELD_OUT),
            Span::raw(held_out),
        ]);
        lines.push((&validation[..], HELD_OUT));
    }
    plot(
        frame,
        area,
        Plot {
            title: Line::from(title),
            lines,
            across: (0.0, history.epochs.max(1) as f64),
            across_unit: "epochs",
            digits: 0,
            kind: GraphType::Line,
        },
    );
}

fn selection(frame: &mut Frame<'_>, area: Rect, history: &History) {
    let macs = history.evaluated.iter().map(|(macs, _)| macs);
    let ([from, to], _) = bounds(macs, 1);
    plot(
        frame,
        area,
        Plot {
            title: Line::from("top-1 of the paths evaluated, against their MACs"),
            lines: vec![(&history.evaluated, TRAINED)],
            across: (from.max(0.0), to),
            across_unit: "million MACs",
            digits: 1,
            kind: GraphType::Scatter,
        },
    );
}

fn board(frame: &mut Frame<'_>, area: Rect, history: &History) {
    let wide = area.width >= WIDE;
    let age = |row: &BoardRow| history.standing.steps.saturating_sub(row.entered);
    let buckets = history.board.iter().any(|row| row.bucket > 0);
    let rows = history.board.iter().enumerate().map(|(place, row)| {
        let mut cells = vec![
            (place + 1).to_string(),
            format!("{:.1}%", row.score),
            rounded_count(row.cost.macs),
            rounded_count(row.cost.params),
            rounded_count(age(row)),
            rounded_count(row.taught),
        ];
        if buckets {
            cells.push((row.bucket + 1).to_string());
        }
        if wide {
            cells.push(row.architecture.to_string());
        }
        let mut cells = cells
            .into_iter()
            .map(|cell| Line::from(cell).right_aligned());
        let numbers: Vec<Line<'_>> = cells.by_ref().take(6 + usize::from(buckets)).collect();
        let texts = cells.map(|cell| cell.alignment(Alignment::Left));
        Row::new(numbers.into_iter().chain(texts).collect::<Vec<_>>())
    });
    let mut header = vec!["", "top-1", "MACs", "params", "age", "taught"];
    let mut widths = [3, 7, 8, 8, 8, 8].map(Constraint::Length).to_vec();
    if buckets {
        header.push("bucket");
        widths.push(Constraint::Length(7));
    }
    if wide {
        header.push("architecture");
        widths.push(Constraint::Fill(1));
    }
    let header = header.into_iter().map(|name| {
        let alignment = match name {
            "architecture" => Alignment::Left,
            _ => Alignment::Right,
        };
        Line::from(name).alignment(alignment)
    });
    let header =
        Row::new(header.collect::<Vec<_>>()).style(Style::new().add_modifier(Modifier::DIM));
    let title = "board: the best paths, which teach   (age in steps)";
    let table = Table::new(rows, widths)
        .header(header)
        .block(Block::new().borders(Borders::TOP).title(title));
    frame.render_widget(table, area);
}

fn warned(frame: &mut Frame<'_>, area: Rect, history: &History) {
    let first = history.warnings.len().saturating_sub(area.height.into());
    let lines = history.warnings[first..].iter().map(|warning| {
        Line::styled(
            format!("warning: {warning}"),
            Style::new().fg(Color::Yellow),
        )
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}

fn footer(frame: &mut Frame<'_>, area: Rect, stopping: bool) {
    let text = match stopping {
        true => "stopping at the next step and saving   Ctrl-C stops at once",
        false => "q leaves this view, the run goes on   Ctrl-C stops and saves",
    };
    let style = Style::new().add_modifier(Modifier::DIM);
    frame.render_widget(Line::styled(text, style), area);
}

#[cfg(test)]
mod tests {
    use creamery_space::{Architecture, Cost};
    use creamery_train::event::{Accuracy, Event, Images, Teacher};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn picture(history: &History, columns: u16, rows: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| draw(frame, history, false)).unwrap();
        terminal.backend().to_string()
    }

    fn started() -> History {
        let mut history = History::new("search runs/a");
        history.update(&Event::Started {
            task: "search".into(),
            epochs: 4,
            steps_per_epoch: 10,
            batch: 8,
            step: 0,
            images: Images {
                train: 7200,
                validation: 800,
                test: 2000,
            },
        });
        history
    }

    fn in_the_middle() -> History {
        let mut history = started();
        for step in 0..25 {
            history.update(&Event::Step {
                step,
                epoch: step / 10,
                loss: 2.3 - 0.05 * step as f64,
                top1: 10.0 + step as f64,
                lr: 0.1,
                grad_norm: 1.0,
                macs: 1,
                teacher: Some(Teacher { rank: 0, rho: 0.61 }),
            });
        }
        let row = |score, macs, taught| BoardRow {
            architecture: Architecture::new("tiny-32", 28, vec![vec![1, 2], vec![3]]),
            score,
            cost: Cost {
                macs,
                params: 200_000,
                ..Cost::default()
            },
            entered: 5,
            taught,
            bucket: 0,
        };
        let board = vec![row(55.5, 5_213_444, 12), row(51.0, 3_100_000, 0)];
        history.update(&Event::Board { step: 24, board });
        history.update(&Event::Epoch {
            epoch: 1,
            loss: 1.5,
            top1: 25.0,
            images_per_second: 1000.0,
            data_wait: 0.0048,
            summed_bytes: None,
            validation: Some(Accuracy {
                top1: 33.3,
                top5: 90.0,
                loss: 1.0,
                images: 800,
            }),
            raw: None,
        });
        history.update(&Event::Warning {
            message: "two images were left out".into(),
        });
        history
    }

    #[test]
    fn everything_is_there_on_a_small_terminal_and_on_a_large_one() {
        for (columns, rows) in [(60, 16), (80, 24), (160, 50)] {
            let text = picture(&in_the_middle(), columns, rows);
            for part in [
                "search runs/a",
                " 62%",
                "epoch 3/4",
                "6% waiting for data",
                "loss   lr 0.1   rho 0.61",
                "train 34.0%  held 33.3%",
                "epochs",
                "warning: two images were left out",
                "q leaves this view",
            ] {
                assert!(
                    text.contains(part),
                    "{columns}x{rows} lacks `{part}`:\n{text}"
                );
            }
            let whole = rows >= 24;
            for part in ["taught", "55.5%", "5.21M", "20"] {
                assert!(
                    text.contains(part) || !whole,
                    "{columns}x{rows} lacks `{part}`:\n{text}"
                );
            }
            assert_eq!(text.contains("tiny-32@28:12/3"), columns >= WIDE, "{text}");
        }
    }

    #[test]
    fn nothing_has_happened_yet() {
        for history in [History::new("retrain"), started()] {
            for (columns, rows) in [(1, 1), (7, 3), (80, 24)] {
                picture(&history, columns, rows);
            }
        }
    }

    #[test]
    fn a_selection_shows_what_was_evaluated() {
        let mut history = in_the_middle();
        for done in 1..4 {
            history.update(&Event::Evaluated {
                architecture: Architecture::new("tiny-32", 28, vec![vec![1]]),
                cost: Cost {
                    macs: 1_000_000 * done as u64,
                    ..Cost::default()
                },
                top1: 40.0 + done as f64,
                done,
                of: 8,
                known: false,
            });
        }
        let text = picture(&history, 80, 24);
        assert!(text.contains("evaluated 3/8"), "{text}");
        assert!(text.contains("million MACs"), "{text}");
    }
}
