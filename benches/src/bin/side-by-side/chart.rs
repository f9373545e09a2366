//! Bars as SVG: horizontal, in groups, with an axis that says what they are in, and each with its
//! number.

use std::fmt::Write;

/// A chart of grouped bars.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// What the axis is in.
    pub(crate) unit: String,
    /// What each bar of a group is.
    pub(crate) series: Vec<String>,
    /// Groups with their names, a value for each series; what is no finite number has no bar.
    pub(crate) groups: Vec<(String, Vec<f64>)>,
    /// Whether the axis is logarithmic: for values of several orders of magnitude.
    pub(crate) logarithmic: bool,
}

const WIDTH: f64 = 900.0;
const LEFT: f64 = 260.0;
const RIGHT: f64 = 70.0;
const BAR: f64 = 16.0;
const GAP: f64 = 12.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 52.0;

/// Told apart also by who does not see all colours (Okabe and Ito).
const COLOURS: [&str; 5] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9"];

impl Chart {
    pub(crate) fn svg(&self) -> String {
        let axis = Axis::of(self);
        let group = BAR * count(self.series.len()) + GAP;
        let bottom = TOP + group * count(self.groups.len());
        let height = bottom + BOTTOM;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" role=\"img\" font-family=\"sans-serif\" \
             font-size=\"13\" fill=\"#222\">\n\
             <title>{title}</title>\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n",
            title = escaped(&self.title)
        );
        text(&mut svg, (16.0, 24.0), "start\" font-size=\"16\" font-weight=\"bold", &self.title);
        self.legend(&mut svg);
        for tick in &axis.ticks {
            let x = axis.place(*tick);
            let _ =
                writeln!(svg, "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#ddd\" fill=\"none\"/>");
            text(&mut svg, (x, bottom + 18.0), "middle", &short(*tick));
        }
        text(&mut svg, (f64::midpoint(LEFT, WIDTH - RIGHT), bottom + 40.0), "middle", &self.unit);
        for ((name, values), at) in self.groups.iter().zip(0_u32..) {
            let top = TOP + group * f64::from(at) + GAP / 2.0;
            let middle = top + (group - GAP) / 2.0 + 4.5;
            text(&mut svg, (LEFT - 10.0, middle), "end", name);
            for ((value, colour), bar) in values.iter().zip(COLOURS).zip(0_u32..) {
                let y = top + BAR * f64::from(bar);
                let end = axis.place(*value);
                if value.is_finite() {
                    let (height, width) = (BAR - 2.0, (end - LEFT).max(1.0));
                    let _ = writeln!(
                        svg,
                        "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height}\" \
                         fill=\"{colour}\"/>"
                    );
                }
                let (x, number) =
                    if value.is_finite() { (end, short(*value)) } else { (LEFT, dash(*value)) };
                text(&mut svg, (x + 5.0, y + 12.0), "start", &number);
            }
        }
        let _ = writeln!(svg, "<path d=\"M{LEFT} {TOP}V{bottom}\" stroke=\"#222\" fill=\"none\"/>");
        svg + "</svg>\n"
    }

    /// What the colours are, where there is more than one.
    fn legend(&self, svg: &mut String) {
        if self.series.len() < 2 {
            return;
        }
        let mut x = LEFT;
        for (name, colour) in self.series.iter().zip(COLOURS) {
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"38\" width=\"12\" height=\"12\" fill=\"{colour}\"/>"
            );
            text(svg, (x + 17.0, 49.0), "start", name);
            x += 40.0 + 7.0 * count(name.chars().count());
        }
    }
}

/// Values on their way across.
struct Axis {
    from: f64,
    to: f64,
    logarithmic: bool,
    ticks: Vec<f64>,
}

impl Axis {
    fn of(chart: &Chart) -> Self {
        let values = chart.groups.iter().flat_map(|(_, values)| values).copied();
        let values: Vec<f64> = values.filter(|it| it.is_finite() && *it > 0.0).collect();
        let most = values.iter().copied().fold(1e-9, f64::max);
        if chart.logarithmic {
            let least = values.iter().copied().fold(most, f64::min);
            let powers = |value: f64| value.log10().floor();
            let (from, to) = (powers(least), powers(most) + 1.0);
            let ticks = std::iter::successors(Some(from), |power| Some(power + 1.0));
            let ticks = ticks.take_while(|power| *power <= to).map(|power| 10_f64.powf(power));
            return Self { from, to, logarithmic: true, ticks: ticks.collect() };
        }
        // Four to eight ticks at 1, 2 or 5 times a power of ten.
        let power = 10_f64.powf((most / 4.0).log10().floor());
        let step = [1.0, 2.0, 5.0].map(|times| times * power);
        let step = step.into_iter().rfind(|step| most / step >= 4.0).unwrap_or(power);
        let ticks = std::iter::successors(Some(0.0), |tick| Some(tick + step));
        let ticks: Vec<f64> = ticks.take_while(|tick| *tick < most + step).collect();
        let to = ticks.last().copied().unwrap_or(most);
        Self { from: 0.0, to, logarithmic: false, ticks }
    }

    fn place(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.max(1e-9).log10() } else { value };
        LEFT + (value - self.from) / (self.to - self.from) * (WIDTH - LEFT - RIGHT)
    }
}

/// Three digits, no more.
pub(crate) fn short(value: f64) -> String {
    if !value.is_finite() {
        return dash(value);
    }
    let digits = match value.abs() {
        it if it >= 100.0 || it == 0.0 => 0,
        it if it >= 10.0 => 1,
        _ => 2,
    };
    let told = format!("{value:.digits$}");
    // A whole number needs no zeros.
    match told.split_once('.') {
        Some((whole, parts)) if parts.bytes().all(|digit| digit == b'0') => whole.to_owned(),
        _ => told,
    }
}

/// What there is no number for.
fn dash(value: f64) -> String {
    if value.is_infinite() { "lost" } else { "–" }.to_owned()
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let words = escaped(words);
    // Writing to a string does not fail.
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[expect(clippy::cast_precision_loss, reason = "few bars and letters")]
fn count(things: usize) -> f64 {
    things as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(logarithmic: bool, values: [f64; 4]) -> Chart {
        let [a, b, c, d] = values;
        Chart {
            title: "Speed & <delay>".to_owned(),
            unit: "Gbit/s".to_owned(),
            series: vec!["out".to_owned(), "in".to_owned()],
            groups: vec![("floor".to_owned(), vec![a, b]), ("ours".to_owned(), vec![c, d])],
            logarithmic,
        }
    }

    #[test]
    fn every_value_has_its_bar_and_its_number() {
        let svg = chart(false, [24.0, 20.0, 21.5, f64::NAN]).svg();
        // The ground, two of the legend, three bars.
        assert_eq!(svg.matches("<rect").count(), 6);
        for words in ["Speed &amp; &lt;delay&gt;", "Gbit/s", ">out<", ">ours<", ">21.5<", ">–<"] {
            assert!(svg.contains(words), "{words}: {svg}");
        }
    }

    #[test]
    fn the_longest_bar_stays_on_the_axis() {
        for most in [0.3, 1.0, 4.0, 7.7, 24.0, 99.0, 410.0, 12_345.0] {
            for logarithmic in [false, true] {
                let axis = Axis::of(&chart(logarithmic, [most, most / 2.0, most / 3.0, 0.0]));
                let end = axis.place(most);
                assert!(end > LEFT && end <= WIDTH - RIGHT + 0.1, "{most}: {end}");
                assert!((2..=10).contains(&axis.ticks.len()), "{most}: {:?}", axis.ticks);
            }
        }
    }

    #[test]
    fn numbers_are_short() {
        let told = [0.876, 21.34, 204.6, 20.0, 0.0, 1.0, f64::INFINITY].map(short);
        assert_eq!(told, ["0.88", "21.3", "205", "20", "0", "1", "lost"]);
    }
}
