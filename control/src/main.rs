//! The binary `hypertun`: one subcommand, one line.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use control::cli;

/// AWS VPC egress on your machine: real packets, NAT gateway semantics, every verdict explained.
#[derive(Debug, Parser)]
#[command(name = "hypertun", version, propagate_version = true)]
struct Hypertun {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(cli::demo::Demo),
    Check(cli::check::Check),
    Explain(cli::explain::Explain),
    Run(cli::run::Run),
    Up(cli::up::Up),
    Down(cli::down::Down),
    Exec(cli::exec::Exec),
    Forward(cli::forward::Forward),
    Attach(cli::attach::Attach),
    Detach(cli::detach::Detach),
    Apply(cli::apply::Apply),
    Status(cli::status::Status),
    Flows(cli::flows::Flows),
    Drops(cli::drops::Drops),
    Metrics(cli::metrics::Metrics),
    Clock(cli::clock::Clock),
    Bench(cli::bench::Bench),
    Schema(cli::schema::Schema),
    Completions(cli::completions::Completions),
    Man(cli::man::Man),
}

fn main() -> ExitCode {
    cli::log::to_standard_error();
    let outcome = match Hypertun::parse().command {
        Command::Demo(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Up(command) => command.run(),
        Command::Down(command) => command.run(),
        Command::Exec(command) => command.run(),
        Command::Forward(command) => command.run(),
        Command::Attach(command) => command.run(),
        Command::Detach(command) => command.run(),
        Command::Apply(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Flows(command) => command.run(),
        Command::Drops(command) => command.run(),
        Command::Metrics(command) => command.run(),
        Command::Clock(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Completions(command) => command.run(Hypertun::command()),
        Command::Man(command) => command.run(Hypertun::command()),
    };
    cli::exit(outcome)
}
