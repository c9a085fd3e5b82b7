//! The state as a picture on a terminal.
//!
//! ```text
//! board, core, model, arena
//! learning curve │ the last samples
//! layer by layer │
//! samples so far, keys
//! ```

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, Paragraph, Row, Table};

use super::State;

/// Columns of a layer's bar.
const BAR: usize = 20;

/// Draws `state`, which is over where `over`.
pub fn draw(frame: &mut Frame, state: &State, over: bool) {
    let rows = Layout::vertical([
        Constraint::Length(4),
        Constraint::Min(8),
        Constraint::Length(3),
    ]);
    let [top, middle, bottom] = rows.areas(frame.area());
    device(frame, top, state);
    let columns = Layout::horizontal([Constraint::Percentage(64), Constraint::Min(24)]);
    let [left, right] = columns.areas(middle);
    let layers = match state.layers.len() {
        0 => 0,
        // Two of the frame.
        count => u16::try_from(count + 2).unwrap_or(u16::MAX),
    };
    let [above, below] = Layout::vertical([
        Constraint::Min(6),
        Constraint::Length(layers.min(left.height / 2)),
    ])
    .areas(left);
    curve(frame, above, state);
    if layers > 0 {
        profile(frame, below, state);
    }
    samples(frame, right, state);
    progress(frame, bottom, state, over);
}

fn device(frame: &mut Frame, area: Rect, state: &State) {
    let [wanted, there] = state.arena;
    let learnt = match state.learnt {
        0 => "it learns nothing".to_owned(),
        bytes => format!("{bytes} bytes are learnt"),
    };
    let lines = vec![
        Line::from(format!("{}: {}", state.on, state.board)),
        Line::from(format!(
            "{}: arena {wanted} of {there} bytes, {learnt}",
            state.model
        )),
    ];
    let block = Block::bordered().title(" mote device ");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn curve(frame: &mut Frame, area: Rect, state: &State) {
    // Two points to a column, of what the frame and the axis leave.
    let count = usize::from(area.width.saturating_sub(8).max(4)) * 2;
    let points: Vec<(f64, f64)> = state
        .points(count)
        .iter()
        .filter_map(|point| Some((point.step as f64, point.accuracy? * 100.0)))
        .collect();
    let last = state.total.max(1) as f64;
    let accuracy = Dataset::default()
        .marker(Marker::Braille)
        .graph_type(GraphType::Line)
        .style(Style::default().fg(Color::Cyan))
        .data(&points);
    let title = format!(
        " accuracy {:.1} %, of the last hundred {:.1} % ",
        100.0 * state.accuracy(),
        100.0 * state.recent()
    );
    let chart = Chart::new(vec![accuracy])
        .block(Block::bordered().title(title))
        .x_axis(
            Axis::default()
                .bounds([1.0, last])
                .labels(["1".to_owned(), state.total.to_string()]),
        )
        .y_axis(
            Axis::default()
                .bounds([0.0, 100.0])
                .labels(["0", "50", "100"]),
        );
    frame.render_widget(chart, area);
}

fn profile(frame: &mut Frame, area: Rect, state: &State) {
    let counts = || state.layers.iter().map(|layer| u64::from(layer.count));
    let (most, sum) = (counts().max().unwrap_or(0).max(1), counts().sum::<u64>());
    let rows = state.layers.iter().map(|layer| {
        // At most BAR.
        let len = (u64::from(layer.count) * BAR as u64 / most) as usize;
        Row::new([
            layer.name.clone(),
            format!("{:>10}", layer.count),
            "█".repeat(len),
        ])
    });
    let widths = [
        Constraint::Min(12),
        Constraint::Length(10),
        Constraint::Length(BAR as u16),
    ];
    let title = format!(" {sum} {} a run ", state.unit);
    let table = Table::new(rows, widths).block(Block::bordered().title(title));
    frame.render_widget(table, area);
}

fn samples(frame: &mut Frame, area: Rect, state: &State) {
    let room = usize::from(area.height.saturating_sub(2));
    let lines: Vec<Line> = state
        .seen
        .iter()
        .rev()
        .take(room)
        .map(|seen| {
            let (mark, colour) = match seen.right {
                true => ("✓", Color::Green),
                false => ("✗", Color::Red),
            };
            let loss = seen
                .loss
                .map_or_else(String::new, |loss| format!("  loss {loss:.3}"));
            Line::from(vec![
                Span::raw(format!(
                    "{:>6}  {} → {} ",
                    seen.index, seen.label, seen.prediction
                )),
                Span::styled(mark, Style::default().fg(colour)),
                Span::raw(loss),
            ])
        })
        .collect();
    let block = Block::bordered().title(" label → prediction ");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn progress(frame: &mut Frame, area: Rect, state: &State, over: bool) {
    let share = state.samples as f64 / state.total.max(1) as f64;
    let each = 1000.0 * state.seconds / state.samples.max(1) as f64;
    let keys = if over { "q: leave" } else { "q: end" };
    let digest = state
        .digest
        .as_ref()
        .map_or_else(String::new, |digest| format!(", digest {digest}"));
    let label = format!(
        "{} of {} samples, {} right, {each:.1} ms each{digest}",
        state.samples, state.total, state.right
    );
    let gauge = Gauge::default()
        .block(Block::bordered().title_bottom(Line::from(format!(" {keys} ")).right_aligned()))
        .gauge_style(Style::default().fg(Color::Blue).add_modifier(Modifier::DIM))
        .ratio(share.clamp(0.0, 1.0))
        .label(label);
    frame.render_widget(gauge, area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::live::{Layer, Seen};

    fn state() -> State {
        let layer = |name: &str, count| Layer {
            name: name.to_owned(),
            count,
        };
        let mut state = State {
            on: "qemu:an386".to_owned(),
            board: "an386, Cortex-M4F at 25 MHz".to_owned(),
            model: "mnist-cnn".to_owned(),
            arena: [6392, 131_072],
            learnt: 4040,
            unit: "instructions",
            layers: vec![layer("conv2d_1", 300_000), layer("dense_1", 75_000)],
            total: 8,
            ..State::default()
        };
        for index in 0..4 {
            state.push(Seen {
                index,
                label: 7,
                prediction: if index == 0 { 1 } else { 7 },
                right: index != 0,
                loss: Some(2.0 / (index + 1) as f32),
            });
        }
        state.seconds = 0.1;
        state
    }

    fn drawn(state: &State, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state, false)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        (0..height).map(row).collect()
    }

    #[test]
    fn the_view_shows_board_curve_layers_and_samples() {
        let wanted = include_str!("view.txt");
        let found = drawn(&state(), 80, 24).join("\n") + "\n";
        // To bless another look: MOTE_BLESS=1.
        if std::env::var_os("MOTE_BLESS").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/live/view.txt");
            std::fs::write(path, &found).unwrap();
            return;
        }
        assert_eq!(found, wanted, "\n{found}");
    }

    #[test]
    fn it_fits_any_terminal() {
        let empty = State::default();
        for (width, height) in [(1, 1), (10, 3), (40, 12), (200, 60)] {
            drawn(&state(), width, height);
            drawn(&empty, width, height);
        }
    }
}
