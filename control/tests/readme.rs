//! Do the README and `docs/aws.md` say what the program does?
//!
//! Tables between `<!-- name -->` and `<!-- /name -->`, and what `$ hypertun check` and `$ hypertun explain` print, are
//! made from the program and compared. Each fact of `docs/aws.md` names a test that is there, or a deviation.
//! `HYPERTUN_BLESS=1` writes them anew; look at the difference before committing it.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use control::{check, explain};
use dataplane::path::PATH;
use dataplane::tables::Timers;

#[test]
fn the_readme_is_what_the_program_prints() {
    let topologies = topologies().into_iter().map(|(file, situation)| {
        [format!("[{file}](topologies/{file})"), situation.trim_end_matches('.').to_owned()]
    });
    let stages = PATH.iter().map(|stage| {
        let file = format!("dataplane/src/path/{}.rs", stage.name);
        let folder = format!("dataplane/src/path/{}/mod.rs", stage.name);
        let file = if at(&file).exists() { file } else { folder };
        [format!("[{}]({file})", stage.name), stage.question.to_owned()]
    });
    let reasons = explain::reasons().map(|(label, text)| [format!("`{label}`"), text.to_owned()]);
    let kinds =
        explain::component_kinds().map(|(label, text)| [format!("`{label}`"), text.to_owned()]);
    let deviations = deviations().into_iter().map(|(number, title)| {
        let anchor = anchor(&format!("{number} {title}"));
        [format!("[{number}](docs/aws.md#{anchor})"), title]
    });
    let profile = check::profile_keys().into_iter().map(|key| {
        [format!("`{}`", key.name), key.default, key.about.to_owned(), key.source.to_owned()]
    });
    let sections = [
        ("commands", table(["command", "does"], commands())),
        ("path", format!("```text\n{}```\n", figure())),
        ("stages", table(["stage", "question"], stages)),
        ("topologies", table(["file", "situation"], topologies)),
        ("reasons", table(["reason", "when"], reasons)),
        ("components", table(["kind", "what"], kinds)),
        ("profile", table(["key of `profile`", "default", "decides", "AWS"], profile)),
        ("deviations", table(["", "hypertun"], deviations)),
    ];
    let readme = read("README.md");
    let printed =
        sections.iter().fold(readme.clone(), |text, (name, made)| fill(&text, name, made));
    hold("README.md", &readme, &consoles(&printed));
}

#[test]
fn topologies_in_the_readme_are_right() {
    let text = read("README.md");
    let blocks: Vec<_> = text.split("```yaml\n").skip(1).collect();
    assert!(!blocks.is_empty(), "the README shows no topology");
    for block in blocks {
        let yaml = block.split("```").next().unwrap_or_default();
        let sound = check::read(yaml, "README.md").unwrap_or_else(|report| panic!("{report}"));
        assert!(sound.warnings.is_empty(), "{}", sound.warnings);
    }
}

#[test]
fn timers_are_as_documented() {
    let Timers {
        nat_tcp_idle,
        nat_tcp_transitory,
        nat_udp_idle,
        nat_icmp_idle,
        nat_port_rest,
        egress_only_idle,
        interface_endpoint_idle,
        tracking_tcp_established,
        tracking_tcp_transitory,
        tracking_udp,
        tracking_udp_stream,
        tracking_icmp,
        tracking_other,
        // Nothing of AWS's, and what single interfaces set.
        forwarding: _,
        enis: _,
    } = Timers::default();
    assert_eq!(nat_tcp_transitory, None, "AWS makes no difference");
    let rows = [
        ("NAT gateway: mapping of TCP", nat_tcp_idle, "NAT-7"),
        ("NAT gateway: mapping of UDP", nat_udp_idle, "NAT-10"),
        ("NAT gateway: mapping of ICMP", nat_icmp_idle, "NAT-10"),
        ("NAT gateway: port of a closed connection", nat_port_rest, "NAT-11"),
        ("egress-only internet gateway: any flow", egress_only_idle, "EIGW-2"),
        ("interface endpoint: mapping of TCP", interface_endpoint_idle, "VPCE-11"),
        ("security groups: TCP, established", tracking_tcp_established, "SG-9"),
        ("security groups: TCP, opening or closed", tracking_tcp_transitory, "SG-13"),
        ("security groups: UDP, one request or one transaction", tracking_udp, "SG-10"),
        ("security groups: UDP, more than one transaction", tracking_udp_stream, "SG-11"),
        ("security groups: ICMP", tracking_icmp, "SG-13"),
        ("security groups: other protocols", tracking_other, "SG-12"),
    ];
    let rows = rows.map(|(what, span, facts)| {
        [what.to_owned(), format!("{} s", span.millis() / 1000), facts.to_owned()]
    });
    let text = read("docs/aws.md");
    hold("docs/aws.md", &text, &fill(&text, "timers", &table(["memory", "idle", "fact"], rows)));
}

#[test]
fn every_fact_has_its_source_and_its_test() {
    let deviations = deviations();
    let mut faults = String::new();
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for (number, fact) in facts() {
        let mut wrong = |what: &dyn Display| faults += &format!("{number}: {what}\n");
        let (area, place) = number.split_once('-').unwrap_or((&number, ""));
        let count = numbers.entry(area.to_owned()).or_default();
        *count += 1;
        if place != count.to_string() {
            wrong(&format!("should be number {count} of its area"));
        }
        let Some((_, source)) = fact.split_once("AWS: ") else {
            wrong(&"names no source");
            continue;
        };
        let tests = source.split_once("Test: ").map(|(_, tests)| quoted(tests)).unwrap_or_default();
        tests.iter().filter_map(|test| missing(test)).for_each(|fault| wrong(&fault));
        let named: Vec<_> = source
            .split_once("Deviation: ")
            .map(|(_, named)| named.split([',', ' ', '.']).filter(|it| it.starts_with("D-")))
            .into_iter()
            .flatten()
            .collect();
        if tests.is_empty() && named.is_empty() {
            wrong(&"has neither a test nor a deviation");
        }
        for name in named {
            if !deviations.iter().any(|(number, _)| number == name) {
                wrong(&format!("there is no deviation {name}"));
            }
        }
    }
    for (place, (number, _)) in deviations.iter().enumerate() {
        if *number != format!("D-{}", place + 1) {
            faults += &format!("{number}: should be D-{}\n", place + 1);
        }
    }
    assert!(numbers.len() >= 6, "{numbers:?}");
    assert!(faults.is_empty(), "{faults}");
}

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Compares a document with what it should be, or writes it.
fn hold(path: &str, found: &str, expected: &str) {
    if found == expected {
        return;
    }
    if env::var_os("HYPERTUN_BLESS").is_some() {
        return fs::write(at(path), expected).expect("the document can be written");
    }
    let mut differences = String::new();
    for (line, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        if found != expected {
            differences += &format!("{path}:{}\n- {found}\n+ {expected}\n", line + 1);
        }
    }
    panic!("{differences}{path} is not what the program prints; HYPERTUN_BLESS=1 writes it anew");
}

/// `text` with `made` in the place of the section `name`.
fn fill(text: &str, name: &str, made: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
    format!("{before}{begin}{made}{end}{after}")
}

fn table<const N: usize>(heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = format!("| {} |\n|{}\n", heads.join(" | "), "---|".repeat(N));
    for row in rows {
        table += &format!("| {} |\n", row.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
    table
}

/// Runs hypertun in the root of the repository; what it prints.
fn hypertun<'a>(arguments: impl IntoIterator<Item = &'a str>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hypertun"));
    let output = command.args(arguments).current_dir(at("")).output().expect("it starts");
    [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat()
}

/// The commands of `hypertun --help`.
fn commands() -> Vec<[String; 2]> {
    let help = hypertun(["--help"]);
    let list = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next());
    let lines = list.expect("clap lists the commands").lines();
    let commands = lines.filter_map(|line| line.trim().split_once("  "));
    commands
        .filter(|(name, _)| *name != "help")
        .map(|(name, does)| [format!("`hypertun {name}`"), does.trim().to_owned()])
        .collect()
}

/// `text` with what `$ hypertun check` and `$ hypertun explain` print below them.
fn consoles(text: &str) -> String {
    let mut made = String::new();
    let mut lines = text.lines().peekable();
    let mut in_console = false;
    while let Some(line) = lines.next() {
        made += &format!("{line}\n");
        in_console = line == "```console" || in_console && line != "```";
        let command = line.strip_prefix("$ hypertun ").filter(|_| in_console);
        let Some(command) =
            command.filter(|it| it.starts_with("check ") || it.starts_with("explain "))
        else {
            continue;
        };
        while lines.next_if(|line| !line.starts_with("$ ") && *line != "```").is_some() {}
        made.push_str(&hypertun(command.split_whitespace()));
    }
    made
}

/// The figure in the documentation of the path.
fn figure() -> String {
    let source = read("dataplane/src/path/mod.rs");
    let figure = source.split("//! ```text\n").nth(1).and_then(|rest| rest.split("//! ```").next());
    let lines = figure.expect("the module shows its figure").lines();
    let text = lines.map(|line| line.trim_start_matches("//!"));
    text.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}

/// Each topology and the first line of its comment.
fn topologies() -> Vec<(String, String)> {
    let entries = fs::read_dir(at("topologies")).expect("part of the repository");
    let entries = entries.map(|entry| entry.expect("the folder can be listed").path());
    let files = entries.filter(|path| path.extension().is_some_and(|it| it == "yaml"));
    let mut topologies: Vec<_> = files
        .map(|path| {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = read(&format!("topologies/{file}"));
            let situation = text.lines().next().and_then(|line| line.strip_prefix("# "));
            (file.clone(), situation.unwrap_or_else(|| panic!("{file}: no comment")).to_owned())
        })
        .collect();
    topologies.sort();
    topologies
}

/// Numbers and titles of the deviations: `### D-1 Title`.
fn deviations() -> Vec<(String, String)> {
    let text = read("docs/aws.md");
    let titles = text.lines().filter_map(|line| line.strip_prefix("### D-"));
    titles
        .filter_map(|title| title.split_once(' '))
        .map(|(number, title)| (format!("D-{number}"), title.to_owned()))
        .collect()
}

/// Numbers and texts of the facts: paragraphs that begin `- **RT-1** `.
fn facts() -> Vec<(String, String)> {
    let text = read("docs/aws.md");
    let facts = text.split("\n- **").skip(1);
    facts
        .map(|fact| {
            let fact = fact.split("\n\n").next().unwrap_or_default();
            let (number, fact) = fact.split_once("** ").expect("a number and a fact");
            (number.to_owned(), fact.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
}

/// What stands in backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// What is wrong with a test's name, `path` or `path::function`.
fn missing(test: &str) -> Option<String> {
    let (path, function) = test.split_once("::").unwrap_or((test, ""));
    let Ok(text) = fs::read_to_string(at(path)) else { return Some(format!("no file {path}")) };
    let found = function.is_empty() || text.contains(&format!("fn {function}("));
    (!found).then(|| format!("no fn {function} in {path}"))
}

/// The anchor that a heading has on GitHub.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-'));
    kept.map(|it| if it == ' ' { '-' } else { it.to_ascii_lowercase() }).collect()
}
