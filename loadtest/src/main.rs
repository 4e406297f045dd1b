//! Load on a real gate: `loadtest compare` runs the sample MCP server and `tollbook serve` as
//! processes of their own and drives both ways in turns, direct and through the gate with the book
//! on. The figures to compare are the ratios within one run. `loadtest chaos` runs three gates as
//! one cluster under faults.

#![expect(clippy::print_stdout, reason = "the table is this program's product")]

mod chaos;
mod chart;
mod drive;
mod peers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::chaos::Chaos;
use crate::chart::Bar;
use crate::drive::{Figures, Target};
use crate::peers::{Gate, PeerError, Upstream};

#[derive(Parser)]
#[command(about = "Load on a real gate", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Drives the sample server directly and through the gate, in turns
    Compare {
        /// Connections, each with one call on its way
        #[arg(long, default_value_t = 16)]
        connections: usize,
        /// Seconds of one turn
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        /// Turns of each way
        #[arg(long, default_value_t = 3)]
        turns: usize,
        /// Draw the medians there too
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    Chaos(Chaos),
    /// The sample MCP server alone; prints its address
    Upstream,
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Compare {
            connections,
            seconds,
            turns,
            svg,
        } => compare(connections, Duration::from_secs(seconds), turns)
            .and_then(|medians| svg.map_or(Ok(()), |file| draw(&file, &medians)))
            .map(|()| ExitCode::SUCCESS),
        Command::Chaos(chaos) => chaos::run(&chaos),
        Command::Upstream => peers::serve_upstream().map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            println!("loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Calls a second.
struct Medians {
    direct: u64,
    gate: u64,
}

fn compare(connections: usize, time: Duration, turns: usize) -> Result<Medians, PeerError> {
    let upstream = Upstream::start()?;
    let gate = Gate::start(&upstream)?;
    let direct = Target {
        address: upstream.address.clone(),
        path: "/mcp".into(),
        token: None,
    };
    let through = gate.target();
    println!(
        "{connections} connections, {turns} turns of {} s each way\n",
        time.as_secs()
    );
    println!(
        "{:>8}  {:>9}  {:>8}  {:>8}  {:>8}  {:>12}",
        "way", "calls/s", "p50 µs", "p99 µs", "errors", "CPU µs/call"
    );
    let (mut of_direct, mut of_gate) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        let before = upstream.cpu_us()?;
        let figures = drive::closed_loop(&direct, connections, time);
        let used = upstream.cpu_us()?.saturating_sub(before);
        show("direct", &figures, used);
        of_direct.push(figures);
        let before = gate.cpu_us()?;
        let figures = drive::closed_loop(&through, connections, time);
        let used = gate.cpu_us()?.saturating_sub(before);
        show("gate", &figures, used);
        of_gate.push(figures);
    }
    let (direct, gate_rate) = (median(&of_direct), median(&of_gate));
    println!(
        "\nmedian: {direct} calls/s direct, {gate_rate} through the gate: {:.2} of direct",
        ratio(gate_rate, direct)
    );
    let verdict = gate.stop_and_verify()?;
    let verdict = verdict.lines().next().unwrap_or_default();
    println!("the book after it: {verdict}");
    Ok(Medians {
        direct,
        gate: gate_rate,
    })
}

fn draw(file: &Path, medians: &Medians) -> Result<(), PeerError> {
    let bar = |label: &str, rate: u64, ours: bool| Bar {
        label: label.to_owned(),
        value: rate,
        shown: format!("{rate} calls/s"),
        ours,
    };
    let bars = [
        bar("through the gate", medians.gate, true),
        bar("direct", medians.direct, false),
    ];
    let title = "Calls a second, the book on (longer is better)";
    #[expect(clippy::disallowed_methods, reason = "a picture needs no durability")]
    std::fs::write(file, chart::svg(title, &bars))?;
    Ok(())
}

fn show(way: &str, figures: &Figures, cpu_us: u64) {
    println!(
        "{way:>8}  {:>9}  {:>8}  {:>8}  {:>8}  {:>12}",
        figures.per_second(),
        figures.latency_us(0.5),
        figures.latency_us(0.99),
        figures.errors,
        cpu_us.checked_div(figures.calls).unwrap_or_default(),
    );
}

fn median(turns: &[Figures]) -> u64 {
    let mut rates: Vec<u64> = turns.iter().map(Figures::per_second).collect();
    rates.sort_unstable();
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

fn ratio(one: u64, other: u64) -> f64 {
    let whole = |figure: u64| f64::from(u32::try_from(figure).unwrap_or(u32::MAX));
    whole(one) / whole(other.max(1))
}
