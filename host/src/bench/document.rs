//! docs/performance.md: what was measured, as a page.

use std::fmt::Write;

use super::{Cost, Rival};

/// What was measured on a board.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The board.
    pub board: &'static str,
    /// Its core.
    pub core: &'static str,
    /// Each layer: what it takes, or why it was not measured.
    pub layers: Vec<(String, Result<Cost, String>)>,
    /// What others take; none where they have no room.
    pub rivals: Vec<Rival>,
}

/// What measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// The emulator, in its own words.
    pub qemu: String,
    /// The compiler, in its own words.
    pub rustc: String,
}

/// The page's rows: names that `mote bench` knows.
pub const ROWS: [&str; 10] = [
    "conv1_i8",
    "conv2_i8",
    "pool1_i8",
    "pool2_i8",
    "dense1_i8",
    "softmax_i8",
    "cnn_i8",
    "lstm_i8",
    "depthwise_i8",
    "pointwise_i8",
];

const HEAD: &str = "\
# Performance

Written by `mote bench --doc docs/performance.md`; do not edit it.

";

const NOTES: &str = "\
Instructions are those of QEMU with `-icount shift=0`, the mean of 16 runs on random numbers; of one run for the others.
On the M55 weights are plain.
Cycles are modelled for a Cortex-M4 without wait states from a trace of the instructions (`host/src/bench/cycles.rs` has
the table). RAM is the arena with inputs and outputs; for the others the input and the output that a caller holds. Stack
is what a run took. Flash is that of an image that only runs this, model included, and of that the code.

`embedded-nn` is the crate of that name, version 0.2.1, without features, compiled for speed; the loops are plain Rust
over indices (`firmware/src/bin/compare`), compiled for speed, too. Both learn the sizes of a layer when they run, as Mote
does: with constants they may take fewer. The ratio is their instructions to Mote's. Both run the layers of the CNN in turn. The crate's LSTM is not that of TensorFlow Lite, which Mote's is to the bit, and plain
loops have none, nor a softmax.
";

const MORE_RAM: &str = "
¹ The board has too little RAM: the same core, which QEMU gives more of it.
";

/// The page.
pub fn page(sections: &[Section], tools: &Tools) -> String {
    let mut text = HEAD.to_owned();
    // Writing to a string does not fail.
    let _ = writeln!(text, "Measured with {} and {}.\n", tools.qemu, tools.rustc);
    text += NOTES;
    for section in sections {
        let _ = writeln!(text, "\n## {} ({})\n", section.board, section.core);
        text += &ours(&section.layers);
        if !section.rivals.is_empty() {
            text += "\n";
            text += &beside(section);
        }
    }
    text
}

fn ours(costs: &[(String, Result<Cost, String>)]) -> String {
    let mut text = "\
| | MACs | instructions | a MAC | cycles | RAM | stack | flash | of that code |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
"
    .to_owned();
    let roomy = |cost: &Result<Cost, String>| cost.as_ref().is_ok_and(|cost| !cost.ram_of_board);
    for (name, cost) in costs {
        let mark = if roomy(cost) { "¹" } else { "" };
        let cells = match cost {
            Err(reason) => format!("{reason} |||||||"),
            Ok(cost) => [
                number(cost.macs),
                number(cost.instructions),
                each(cost),
                cost.cycles.map_or(dash(), number),
                number(cost.arena),
                number(cost.stack),
                number(cost.flash),
                number(cost.text),
            ]
            .join(" | "),
        };
        let _ = writeln!(text, "| {name}{mark} | {cells} |");
    }
    if costs.iter().any(|(_, cost)| roomy(cost)) {
        text += MORE_RAM;
    }
    text
}

fn beside(section: &Section) -> String {
    let mut text = "\
| instructions | Mote | embedded-nn | ratio | its RAM | its stack | loops | ratio | same bits |
|---|---:|---:|---:|---:|---:|---:|---:|---|
"
    .to_owned();
    for (name, cost) in &section.layers {
        let of = |who: &str| {
            let rivals = section.rivals.iter();
            rivals
                .filter(|rival| rival.layer == *name)
                .find(|rival| rival.who == who)
        };
        let ours = cost.as_ref().ok().map(|cost| cost.instructions);
        let ratio = |rival: Option<&Rival>| match (rival, ours) {
            // Below 2^53.
            (Some(rival), Some(ours)) => {
                format!("{:.1}", rival.instructions as f64 / ours.max(1) as f64)
            }
            _ => dash(),
        };
        let (crate_, loops) = (of("embedded-nn"), of("loops"));
        let cell = |value: Option<u64>| value.map_or(dash(), number);
        let same = match (crate_, loops) {
            (Some(_), Some(loops)) if loops.same => "yes".to_owned(),
            (Some(_), Some(_)) => "no".to_owned(),
            _ => dash(),
        };
        let cells = [
            cell(ours),
            cell(crate_.map(|rival| rival.instructions)),
            ratio(crate_),
            cell(crate_.map(|rival| rival.ram)),
            cell(crate_.map(|rival| rival.stack)),
            cell(loops.map(|rival| rival.instructions)),
            ratio(loops),
            same,
        ];
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    text
}

fn dash() -> String {
    "–".to_owned()
}

fn each(cost: &Cost) -> String {
    match cost.macs {
        0 => dash(),
        // Below 2^53.
        macs => format!("{:.2}", cost.instructions as f64 / macs as f64),
    }
}

/// In groups of three digits.
fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        let numbers = [0, 999, 1_000, 12_345_678].map(number);
        assert_eq!(numbers, ["0", "999", "1,000", "12,345,678"]);
    }

    fn cost() -> Cost {
        Cost {
            name: String::new(),
            board: "",
            core: "",
            math: "",
            macs: 1,
            instructions: 1,
            cycles: None,
            flash: 0,
            text: 0,
            ram: 0,
            arena: 0,
            stack: 0,
            ram_of_board: true,
            layers: Vec::new(),
        }
    }

    #[test]
    fn what_has_more_ram_than_its_board_is_marked() {
        let roomy = Cost {
            ram_of_board: false,
            ..cost()
        };
        let rows = [("a", Ok(cost())), ("b", Err("does not fit".to_owned()))];
        let mut rows = rows.map(|(name, row)| (name.to_owned(), row)).to_vec();
        assert!(!ours(&rows).contains('¹'));
        rows.push(("c".to_owned(), Ok(roomy)));
        let text = ours(&rows);
        assert!(
            text.contains("\n| c¹ | 1 |") && text.ends_with(MORE_RAM),
            "{text}"
        );
        assert_eq!(text.matches('¹').count(), 2);
    }

    /// All of a page but its figures: lines of prose without digits, of tables the first cell and how many there are.
    fn form(page: &str) -> Vec<String> {
        let of = |line: &str| match line.strip_prefix("| ") {
            Some(row) => {
                let cells = row.matches('|').count();
                format!("{}{cells}", row.split(" |").next().unwrap_or(""))
            }
            None if line.starts_with("Measured with ") => "Measured with".to_owned(),
            None => line.to_owned(),
        };
        page.lines().map(of).collect()
    }

    #[test]
    fn the_page_in_docs_is_one_that_this_writes() {
        let path = crate::paths::workspace_root().join("docs/performance.md");
        let written = std::fs::read_to_string(path).unwrap();
        // On the microbit two are measured with more RAM than it has.
        let roomy = Cost {
            ram_of_board: false,
            ..cost()
        };
        let layers = |board: &str| -> Vec<(String, Result<Cost, String>)> {
            let row = |name: &str| match (board, name) {
                ("microbit", "depthwise_i8" | "pointwise_i8") => Ok(roomy.clone()),
                _ => Ok(cost()),
            };
            ROWS.iter()
                .map(|name| ((*name).to_owned(), row(name)))
                .collect()
        };
        let rival = Rival {
            layer: String::new(),
            who: "loops",
            instructions: 1,
            stack: 0,
            ram: 0,
            same: true,
        };
        let section = |(board, core, rivals)| Section {
            board,
            core,
            layers: layers(board),
            rivals: vec![rival.clone(); rivals],
        };
        let sections = [
            ("an386", "Cortex-M4F", 1),
            ("an385", "Cortex-M3", 1),
            ("microbit", "Cortex-M0", 0),
            ("an547", "Cortex-M55", 0),
        ]
        .map(section);
        let tools = Tools {
            qemu: String::new(),
            rustc: String::new(),
        };
        assert_eq!(form(&written), form(&page(&sections, &tools)));
    }
}
