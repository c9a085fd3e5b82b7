//! How well samples are read, for people.

use host::evaluate::ColumnFit;
use host::metrics::Metrics;
use host::ui::Ui;

/// What is told of each class goes with `-v`.
pub(crate) fn print(metrics: Option<&Metrics>, fits: &[ColumnFit], ui: &Ui) {
    if let Some(metrics) = metrics {
        let top = metrics
            .top
            .map(|top| format!("top-{} {}, ", top.k, percent(top.share)));
        ui.result(format_args!(
            "  {}precision {}, recall {}, F1 {} (means over classes), AUC {}",
            top.unwrap_or_default(),
            percent(metrics.precision),
            percent(metrics.recall),
            percent(metrics.f1),
            area(metrics.auc)
        ));
        if ui.verbosity() > 0 {
            classes(metrics, ui);
        }
    }
    for ColumnFit { column, fit } in fits {
        let (r2, mae, rmse) = (fit.r2, fit.mae, fit.rmse);
        let mape = fit.mape.map(|share| format!(", MAPE {}", percent(share)));
        ui.result(format_args!(
            "  {column}: R² {r2:.4}, MAE {mae:.5}, RMSE {rmse:.5}{}",
            mape.unwrap_or_default()
        ));
    }
}

fn classes(metrics: &Metrics, ui: &Ui) {
    let header = ["class", "samples", "precision", "recall", "F1", "AUC"];
    let mut table = ui.table(&header, &[0, 1, 2, 3, 4, 5]);
    for (index, class) in metrics.classes.iter().enumerate() {
        table.add_row([
            index.to_string(),
            class.samples.to_string(),
            percent(class.precision),
            percent(class.recall),
            percent(class.f1),
            area(class.auc),
        ]);
    }
    ui.result(table);
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn area(auc: Option<f64>) -> String {
    auc.map_or_else(|| "-".to_owned(), |area| format!("{area:.4}"))
}
