//! A bar chart as SVG: figures that people compare come as a picture too.

use std::fmt::Write as _;

/// Pixels of the whole picture's width, of the labels before the bars, and of one row.
const WIDTH: u64 = 760;
const LABELS: u64 = 220;
const ROW: u64 = 26;
/// Pixels that the longest bar may have; its figure stands behind it.
const LONGEST: u64 = 350;

/// One bar.
pub(crate) struct Bar {
    /// Before it.
    pub(crate) label: String,
    /// Its length, on the scale of all.
    pub(crate) value: u64,
    /// The figure as it is shown.
    pub(crate) shown: String,
    /// Whether it is Tollbook's, which has a colour of its own.
    pub(crate) ours: bool,
}

/// Horizontal bars from one zero, scaled to the longest. The texts must not hold `<` or `&`.
pub(crate) fn svg(title: &str, bars: &[Bar]) -> String {
    let most = bars
        .iter()
        .map(|bar| bar.value)
        .max()
        .unwrap_or_default()
        .max(1);
    let rows = u64::try_from(bars.len()).unwrap_or_default();
    let height = ROW * (rows + 2);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\" role=\"img\" aria-label=\"{title}\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"20\" font-weight=\"bold\">{title}</text>\n"
    );
    let mut top = ROW + 12;
    for bar in bars {
        let length = (bar.value.saturating_mul(LONGEST) / most).max(1);
        let colour = if bar.ours { "#1f6f54" } else { "#b8bec6" };
        let (middle, end, behind) = (top + 14, LABELS - 8, LABELS + length + 6);
        let written = writeln!(
            out,
            "<text x=\"{end}\" y=\"{middle}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LABELS}\" y=\"{top}\" width=\"{length}\" height=\"18\" fill=\"{colour}\"/>\
             <text x=\"{behind}\" y=\"{middle}\">{}</text>",
            bar.label, bar.shown
        );
        written.expect("writing to a `String` does not fail");
        top += ROW;
    }
    out + "</svg>\n"
}
