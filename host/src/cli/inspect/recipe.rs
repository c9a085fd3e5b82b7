//! `mote inspect RECIPE.toml`: a network that has no weights yet.

use std::path::Path;

use anyhow::Context;
use host::recipe::{Needs, Recipe, shape};
use host::ui::Ui;
use serde::Serialize;

#[derive(Serialize)]
struct Report<'r> {
    name: &'r str,
    input: Vec<usize>,
    parameters: usize,
    layers: Vec<Layer<'r>>,
    /// What it takes at least.
    needs: Vec<(String, Needs)>,
}

#[derive(Serialize)]
struct Layer<'r> {
    name: &'r str,
    #[serde(rename = "type")]
    kind: &'static str,
    output_shape: &'r [usize],
    parameters: usize,
}

/// Shows its layers, with shapes and parameters.
pub(super) fn run(path: &Path, json: bool, ui: &Ui) -> anyhow::Result<()> {
    let recipe = Recipe::load(path)?;
    let layers = recipe.layers().iter().map(|layer| Layer {
        name: &layer.name,
        kind: layer.kind.type_name(),
        output_shape: &layer.output_shape,
        parameters: layer.parameters,
    });
    let formats = recipe.export.formats.iter();
    let report = Report {
        name: &recipe.name,
        input: recipe.sample_shape(),
        parameters: recipe.parameters(),
        layers: layers.collect(),
        needs: formats
            .map(|&format| (format.to_string(), recipe.needs(format)))
            .collect(),
    };
    if json {
        return ui.json(&report).context("cannot print the recipe");
    }
    let mut table = ui.table(&["layer", "type", "output", "parameters"], &[3]);
    for layer in &report.layers {
        let parameters = layer.parameters.to_string();
        table.add_row([
            layer.name,
            layer.kind,
            &shape(layer.output_shape),
            &parameters,
        ]);
    }
    ui.result(table);
    ui.result(format_args!(
        "{}: {} parameters; reads {}",
        report.name,
        report.parameters,
        shape(&report.input)
    ));
    for (format, needs) in &report.needs {
        ui.result(format_args!(
            "{format:8} at least {} bytes of flash, {} of RAM",
            needs.flash, needs.ram
        ));
    }
    Ok(())
}
