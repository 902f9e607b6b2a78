//! Pictures: both axes logarithmic, every line named at its end. Plain SVG.

use std::fmt::Write;

use crate::report::table::thousands;
use crate::result::{Case, Of, Results, Tool};

const WIDTH: f64 = 920.0;
const HEIGHT: f64 = 500.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 310.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 56.0;
/// Least distance between two names.
const LINE: f64 = 17.0;

/// What the vertical axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Megabytes,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value < 0.000_9 => format!("{:.0} µs", value * 1e6),
            Self::Seconds if value < 0.9 => format!("{:.0} ms", value * 1e3),
            Self::Seconds => format!("{value:.0} s"),
            Self::Megabytes => format!("{value:.0} MB"),
        }
    }
}

/// One tool's values.
pub(crate) struct Series {
    tool: Tool,
    /// What of the tool's it is, if not all.
    part: &'static str,
    /// Services and value.
    points: Vec<(f64, f64)>,
    /// The last point is where it was stopped.
    stopped: bool,
}

/// The medians of a case, by tool.
pub(crate) fn series(results: &Results, case: Case, of: Of, part: &'static str) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for row in results.rows.iter().filter(|row| row.case == case) {
        let Some(value) = row.median(of).filter(|value| *value > 0.0) else {
            continue;
        };
        let known = all.iter().position(|series| series.tool == row.tool);
        let index = known.unwrap_or_else(|| {
            all.push(Series {
                tool: row.tool,
                part,
                points: Vec::new(),
                stopped: false,
            });
            all.len() - 1
        });
        if let Some(series) = all.get_mut(index) {
            series.points.push((f64::from(row.services), value));
            series.stopped |= row.stopped();
        }
    }
    all
}

/// Colour, width and dashes: colour by kind of rules, full lines for portolan.
fn style(series: &Series) -> (&'static str, f64, &'static str) {
    match series.tool {
        Tool::RunNftables if !series.part.is_empty() => ("#0b62a4", 1.6, "1 4"),
        Tool::RunIptables if !series.part.is_empty() => ("#b8560b", 1.6, "1 4"),
        Tool::RunNftables => ("#0b62a4", 3.0, ""),
        Tool::ApplyNftables => ("#4a9bd6", 1.8, ""),
        Tool::Nft => ("#4a9bd6", 1.8, "6 4"),
        Tool::RunIptables => ("#b8560b", 3.0, ""),
        Tool::ApplyIptables => ("#e08e3c", 1.8, ""),
        Tool::IptablesRestore => ("#e08e3c", 1.8, "6 4"),
        Tool::IptablesRestoreNoflush => ("#e08e3c", 1.8, "2 3"),
        Tool::ServedNftables => ("#0b62a4", 2.2, "8 3"),
        Tool::ServedIptables => ("#b8560b", 2.2, "8 3"),
        Tool::KubeProxyNftables => ("#6b3fa0", 2.2, ""),
        Tool::KubeProxyIptables => ("#6b3fa0", 2.2, "6 4"),
    }
}

/// A logarithmic axis.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let part = (value.log10() - self.low) / (self.high - self.low).max(0.1);
        self.from + part * (self.to - self.from)
    }

    /// The powers of ten on it.
    fn decades(&self) -> impl Iterator<Item = f64> {
        let (mut next, high) = (self.low.ceil(), self.high);
        std::iter::from_fn(move || {
            let decade = next;
            next += 1.0;
            (decade <= high + 1e-9).then(|| 10f64.powf(decade))
        })
    }
}

/// Draws the lines; nothing if there are none.
pub(crate) fn draw(title: &str, unit: Unit, series: &[Series]) -> Option<String> {
    let points = || series.iter().flat_map(|series| &series.points);
    let extent = |of: fn(&(f64, f64)) -> f64| {
        let logs = points().map(|point| of(point).log10());
        logs.fold(None, |range, log| {
            let (low, high) = range.unwrap_or((log, log));
            Some((log.min(low), log.max(high)))
        })
    };
    let (left, right) = extent(|point| point.0)?;
    let (low, high) = extent(|point| point.1)?;
    let across = Axis {
        low: left,
        high: right,
        from: LEFT,
        to: WIDTH - RIGHT,
    };
    let up = Axis {
        low: low.floor(),
        high: high.ceil().max(low.floor() + 1.0),
        from: HEIGHT - BOTTOM,
        to: TOP,
    };
    let mut svg = head(title);
    grid(&mut svg, &across, &up, unit, points().map(|point| point.0));
    for series in series {
        line(&mut svg, series, &across, &up);
    }
    names(&mut svg, series, &across, &up, unit);
    svg.push_str("</svg>\n");
    Some(svg)
}

fn head(title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"13\">\n<title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"30\" font-size=\"17\" font-weight=\"600\" fill=\"#1c2530\">{title}</text>\n"
    )
}

fn grid(svg: &mut String, across: &Axis, up: &Axis, unit: Unit, sizes: impl Iterator<Item = f64>) {
    for decade in up.decades() {
        let y = up.at(decade);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{:.1}\" stroke=\"#dfe4ea\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#55606e\">{}</text>",
            across.to,
            LEFT - 10.0,
            y + 4.5,
            unit.show(decade)
        );
    }
    let mut sizes: Vec<f64> = sizes.collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    for size in sizes {
        let x = across.at(size);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was made from this type"
        )]
        let name = thousands(size as u32);
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {:.1}V{:.1}\" stroke=\"#eef1f4\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#55606e\">{name}</text>",
            up.from,
            up.to,
            up.from + 20.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#55606e\">Services</text>",
        f64::midpoint(across.from, across.to),
        up.from + 42.0
    );
}

fn line(svg: &mut String, series: &Series, across: &Axis, up: &Axis) {
    let (colour, width, dashes) = style(series);
    let place = |point: &(f64, f64)| (across.at(point.0), up.at(point.1));
    let path: Vec<String> = series
        .points
        .iter()
        .map(place)
        .map(|(x, y)| format!("{x:.1} {y:.1}"))
        .collect();
    let _ = writeln!(
        svg,
        "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-dasharray=\"{dashes}\" \
         stroke-linejoin=\"round\"/>",
        path.join("L")
    );
    for (index, point) in series.points.iter().enumerate() {
        let (x, y) = place(point);
        let hollow = series.stopped && index + 1 == series.points.len();
        let fill = if hollow { "#ffffff" } else { colour };
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
        );
    }
}

/// Names at the ends of the lines, moved apart where they would overlap.
fn names(svg: &mut String, series: &[Series], across: &Axis, up: &Axis, unit: Unit) {
    let mut ends: Vec<_> = series
        .iter()
        .filter_map(|series| Some((series, *series.points.last()?)))
        .map(|(series, end)| (series, end, up.at(end.1)))
        .collect();
    ends.sort_by(|a, b| a.2.total_cmp(&b.2));
    let mut lowest = f64::NEG_INFINITY;
    let mut places: Vec<f64> = Vec::new();
    for (.., y) in &ends {
        lowest = y.max(lowest + LINE);
        places.push(lowest);
    }
    // What was pushed below the axis moves the others up again.
    let mut highest = up.from;
    for place in places.iter_mut().rev() {
        *place = place.min(highest);
        highest = *place - LINE;
    }
    for ((series, end, y), place) in ends.into_iter().zip(places) {
        let (colour, width, _) = style(series);
        let (x, name) = (across.at(end.0), across.to + 26.0);
        let more = if series.stopped { "&gt; " } else { "" };
        let _ = writeln!(
            svg,
            "<path d=\"M{:.1} {y:.1}L{:.1} {place:.1}\" stroke=\"{colour}\" stroke-width=\"0.7\" opacity=\"0.6\"/>\
             <text x=\"{name:.1}\" y=\"{:.1}\" fill=\"{colour}\" font-weight=\"{}\">{}{} <tspan fill=\"#55606e\" \
             font-weight=\"400\">{more}{}</tspan></text>",
            x + 6.0,
            name - 4.0,
            place + 4.5,
            if width > 2.5 { 600 } else { 400 },
            series.tool.short(),
            series.part,
            value(unit, end.1)
        );
    }
}

/// A value with two digits that count.
fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Seconds if value < 0.000_95 => format!("{:.0} µs", value * 1e6),
        Unit::Seconds if value < 0.009_5 => format!("{:.1} ms", value * 1e3),
        Unit::Seconds if value < 0.95 => format!("{:.0} ms", value * 1e3),
        Unit::Seconds if value < 9.5 => format!("{value:.1} s"),
        Unit::Seconds => format!("{value:.0} s"),
        Unit::Megabytes => format!("{value:.0} MB"),
    }
}
