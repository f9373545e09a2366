//! A Prometheus that scrapes one address every fifth of a second, and what it has seen.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::Value;

use crate::host::{Host, only_child, output, signal, wait_until};

const LISTENS: &str = "127.0.0.1:9090";

/// A running Prometheus. Dropping it ends it, and removes what it has kept.
#[derive(Debug)]
pub struct Prometheus<'a> {
    host: &'a Host,
    /// `nsenter`, which ends as Prometheus does.
    child: Child,
    kept: PathBuf,
}

impl<'a> Prometheus<'a> {
    /// Starts it on `host`, to scrape `target`.
    #[must_use]
    pub fn start(host: &'a Host, target: &str) -> Self {
        let kept = std::env::temp_dir().join(format!("hypertun-prometheus-{}", std::process::id()));
        fs::create_dir_all(&kept).expect("there is a directory for temporary files");
        let scrape = "{scrape_interval: 200ms, scrape_timeout: 200ms}";
        let job = format!("{{job_name: hypertun, static_configs: [{{targets: ['{target}']}}]}}");
        let config = kept.join("prometheus.yml");
        fs::write(&config, format!("global: {scrape}\nscrape_configs: [{job}]\n"))
            .expect("a file can be written");
        let mut command = host.command("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", kept.join("data").display()));
        command.arg(format!("--web.listen-address={LISTENS}")).arg("--log.level=error");
        let child = command.stdout(Stdio::null()).spawn().expect("nsenter was found");
        let started = Self { host, child, kept };
        wait_until("Prometheus answers (integration/install-test-tools installs it)", 20, || {
            started.ask("vector(1)").is_some()
        });
        started
    }

    /// Waits for a scrape that begins from now on.
    pub fn wait_for_scrape(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        wait_until("a scrape", 10, || {
            let scraped = self.query("timestamp(hypertun_clock_seconds)");
            let scraped = scraped.first().and_then(|(_, at)| Duration::try_from_secs_f64(*at).ok());
            scraped.is_some_and(|at| at > now)
        });
    }

    /// What `query` gives now: each series' labels, its name as `__name__`, and its value.
    #[must_use]
    pub fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let answer = self.ask(query).unwrap_or_else(|| panic!("no answer to {query}"));
        let series = answer["data"]["result"].as_array().expect("a vector").iter();
        let value = |value: &Value| value.as_str().and_then(|it| it.parse().ok());
        series
            .map(|it| (it["metric"].clone(), value(&it["value"][1]).expect("a number as text")))
            .collect()
    }

    fn ask(&self, query: &str) -> Option<Value> {
        let url = format!("http://{LISTENS}/api/v1/query");
        let mut curl = self.host.command("curl");
        curl.args(["--silent", "--max-time", "5", "--get", &url]);
        let said = output(curl.args(["--data-urlencode", &format!("query={query}")]));
        let answer: Value = serde_json::from_str(&said.out).ok()?;
        (answer["status"] == "success").then_some(answer)
    }
}

impl Drop for Prometheus<'_> {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            signal(only_child(self.child.id()), Signal::TERM);
        }
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.kept);
    }
}
