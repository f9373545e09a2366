//! Medians and ratios, as a table.

use std::time::Duration;

/// Group, who, how many flows.
type Name = (String, String, String);

#[derive(Default)]
pub struct Report(Vec<(Name, Vec<f64>)>);

impl Report {
    /// Adds one sample: the time that so many packets took.
    pub fn add(&mut self, (group, who, size): (&str, &str, &str), time: Duration, packets: u64) {
        let name = (group.to_owned(), who.to_owned(), size.to_owned());
        #[expect(clippy::cast_precision_loss, reason = "far fewer packets than 2^52")]
        let sample = time.as_secs_f64() * 1e9 / packets as f64;
        match self.0.iter_mut().find(|(other, _)| *other == name) {
            Some((_, samples)) => samples.push(sample),
            None => self.0.push((name, vec![sample])),
        }
    }

    /// Prints ns a packet, beside the floor of the same group and size.
    pub fn print(&self) {
        println!("\n| bench | flows | ns a packet | floor | ratio |\n|---|---|---|---|---|");
        for ((group, who, size), samples) in &self.0 {
            let floor = (group.clone(), "floor".to_owned(), size.clone());
            if *who == floor.1 {
                continue;
            }
            let ours = median(samples);
            let floor = self.0.iter().find(|(name, _)| *name == floor);
            let Some(floor) = floor.map(|(_, samples)| median(samples)) else { continue };
            println!("| {group} | {size} | {ours:.1} | {floor:.1} | {:.2} |", ours / floor);
        }
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut samples = samples.to_vec();
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
