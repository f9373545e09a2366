//! What is wrong with a topology file, where, and what to do about it.

use std::fmt;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError,
    MietteSpanContents, SourceCode, SourceSpan, SpanContents,
};

/// Faults beyond this number are counted only.
const MOST_FAULTS: usize = 10_000;

/// A stretch of the source: byte offsets, `start <= end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset just behind the last byte.
    pub end: u32,
}

/// Whether a fault keeps the topology from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not: AWS would want a quota raised, or the file says something that it need not.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whether the topology can be used all the same.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where.
    pub place: Place,
    /// Other places that have to do with it, each with a word why.
    pub labels: Vec<(Place, String)>,
    /// What to do.
    pub help: Option<String>,
}

impl Fault {
    /// An error at `place`.
    pub fn error(place: Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            place,
            labels: Vec::new(),
            help: None,
        }
    }

    /// A warning at `place`.
    pub fn warning(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    /// The fault of asking for what is right on AWS but not built here.
    pub fn unsupported(place: Place, what: impl fmt::Display) -> Self {
        Self::error(place, format!("{what}: not supported yet"))
    }

    /// With a second place, and why it is shown.
    #[must_use]
    pub fn label(mut self, place: Place, why: impl Into<String>) -> Self {
        self.labels.push((place, why.into()));
        self
    }

    /// With advice.
    #[must_use]
    pub fn help(mut self, advice: impl Into<String>) -> Self {
        self.help = Some(advice.into());
        self
    }
}

/// Faults as they are found.
#[derive(Debug, Default)]
pub struct Faults {
    list: Vec<Fault>,
    errors: usize,
}

impl Faults {
    /// Notes one more.
    pub fn push(&mut self, fault: Fault) {
        self.errors += usize::from(fault.severity == Severity::Error);
        if self.list.len() < MOST_FAULTS {
            self.list.push(fault);
        } else if self.list.len() == MOST_FAULTS {
            let rest = format!("more than {MOST_FAULTS} faults: the rest is not listed");
            self.list.push(Fault { severity: fault.severity, ..Fault::error(fault.place, rest) });
        }
    }

    /// Whether one of them is an error.
    #[must_use]
    pub fn any_error(&self) -> bool {
        self.errors > 0
    }

    /// What was found in `text`, in the order of the file. `name` is shown as the file's name.
    #[must_use]
    pub fn report(mut self, name: &str, text: &str) -> Report {
        self.list.sort_by(|a, b| a.place.cmp(&b.place).then_with(|| a.message.cmp(&b.message)));
        self.list.dedup();
        Report { source: Source::new(name, text), faults: self.list }
    }
}

/// The faults of one file, in its order, and the file.
#[derive(Clone, Debug)]
pub struct Report {
    source: Source,
    faults: Vec<Fault>,
}

impl Report {
    /// The faults, by their place.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// How many of them are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.faults.iter().filter(|fault| fault.severity == Severity::Error).count()
    }

    /// The same in a sentence.
    #[must_use]
    pub fn summary(&self) -> String {
        let (errors, file) = (self.errors(), self.file());
        let plural = if errors == 1 { "fault" } else { "faults" };
        format!("{file} has {errors} {plural}")
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// The file's name, as it was given.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.source.name
    }

    /// Line and column at which `place` begins, both from 1, columns in characters.
    #[must_use]
    pub fn position(&self, place: Place) -> (usize, usize) {
        self.source.position(place.start as usize)
    }

    /// Each fault with `file:line:column`, an excerpt of the source and advice; `colour` adds ANSI sequences.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let theme =
            if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(100);
        let mut text = String::new();
        for fault in &self.faults {
            let shown = Shown { fault, source: &self.source };
            handler.render_report(&mut text, &shown).expect("writing to a String does not fail");
            text.push('\n');
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Renders `faults` of the text `source` of the file `name`, without colour.
#[must_use]
pub fn render(faults: &[Fault], source: &str, name: &str) -> String {
    Report { source: Source::new(name, source), faults: faults.to_vec() }.render(false)
}

/// A text that knows where its lines begin, so that each of many excerpts is found at once.
#[derive(Clone, Debug)]
struct Source {
    name: String,
    text: String,
    lines: Vec<usize>,
}

impl Source {
    fn new(name: &str, text: &str) -> Self {
        let begins =
            text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(i, _)| i + 1);
        let lines = std::iter::once(0).chain(begins).collect();
        Self { name: name.to_owned(), text: text.to_owned(), lines }
    }

    /// The line, from 0, that holds the byte at `offset`.
    fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|&begin| begin <= offset) - 1
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line(offset);
        let before = self.text.get(self.lines[line]..offset).unwrap_or_default();
        (line + 1, before.chars().count() + 1)
    }
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let end = span.offset() + span.len();
        if end > self.text.len() {
            return Err(MietteError::OutOfBounds);
        }
        let first = self.line(span.offset()).saturating_sub(before);
        let last = (self.line(end) + after).min(self.lines.len() - 1);
        // Without context miette asks where the span itself begins.
        let start = if before == 0 && after == 0 { span.offset() } else { self.lines[first] };
        let stop = self.lines.get(last + 1).copied().unwrap_or(self.text.len());
        let (line, column) = self.position(start);
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            &self.text.as_bytes()[start..stop],
            (start, stop - start).into(),
            line - 1,
            column - 1,
            last + 1 - first,
        )))
    }
}

/// A fault as miette wants it: beside its source, without a copy of it.
#[derive(Debug)]
struct Shown<'a> {
    fault: &'a Fault,
    source: &'a Source,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fault.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.fault.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.fault.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = |place: Place| (place.start as usize, (place.end - place.start) as usize);
        let primary = LabeledSpan::new_primary_with_span(None, span(self.fault.place));
        let others = self.fault.labels.iter();
        let others = others
            .map(move |(place, why)| LabeledSpan::new_with_span(Some(why.clone()), span(*place)));
        Some(Box::new(std::iter::once(primary).chain(others)))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_file_line_and_column_in_characters() {
        let mut faults = Faults::default();
        faults.push(Fault::warning(Place { start: 9, end: 10 }, "later").help("do this"));
        faults.push(Fault::error(Place { start: 4, end: 5 }, "sooner"));
        let report = faults.report("file.yaml", "a\nä: b\ncd\n");
        assert_eq!(report.errors(), 1);
        assert_eq!(report.position(report.faults()[0].place), (2, 2));
        let text = report.to_string();
        assert!(text.find("file.yaml:2:2") < text.find("file.yaml:3:2"), "{text}");
        assert!(text.contains("sooner") && text.contains("do this"), "{text}");
    }

    #[test]
    fn a_place_at_the_very_end_can_be_shown() {
        let end = Fault::error(Place { start: 3, end: 3 }, "ends too soon");
        assert!(render(&[end], "a:\n", "file.yaml").contains("file.yaml:2:1"));
    }

    #[test]
    fn countless_faults_are_cut_short() {
        let mut faults = Faults::default();
        for _ in 0..=MOST_FAULTS {
            faults.push(Fault::error(Place::default(), "wrong"));
        }
        faults.push(Fault::error(Place::default(), "one more"));
        assert_eq!(faults.list.len(), MOST_FAULTS + 1);
    }
}
