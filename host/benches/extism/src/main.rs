//! Extism's side of the benchmark `beside_extism`, which starts this program: a process of its own, with a wasmtime of its own.
//!
//! The plug-in's file is its argument. It answers each line of its input with a line, and ends when there are no more:
//!
//! | request | answer |
//! | --- | --- |
//! | `answers FIRST ROWS` | the plug-in's answers to a batch |
//! | `large LIMITS BATCHES ROWS` | CPU time of a row, text in and text out |
//! | `small LIMITS CALLS` | how long a call with one row takes, and its CPU time |
//! | `instance LIMITS ROUNDS` | how long a new instance with its first answer takes |
//!
//! Times are in microseconds, CPU time that of all threads: Extism has one for its timers. Limits are `timeout` or `none`.

mod support;

use std::hint::black_box;
use std::io::{BufRead as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use extism::{CompiledPlugin, Manifest, Plugin, PluginBuilder, Wasm};
use support::process::process_cpu_time;
use support::rows::batch;
use support::statistics::Sample;

/// The benchmark gives Sangre's node the same, and as much memory.
const TIMEOUT: Duration = Duration::from_secs(2);
const MEMORY_PAGES: u32 = (64 << 20) / (64 << 10);

fn main() -> Result<()> {
    let file = std::env::args().nth(1).context("the plug-in's file is missing")?;
    let mut side = Side::start(&std::fs::read(&file).with_context(|| format!("cannot read {file}"))?)?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = side.answer(&line?)?;
        writeln!(out, "{answer}").and_then(|()| out.flush())?;
    }
    Ok(())
}

struct Side {
    timed: Extism,
    free: Extism,
}

impl Side {
    fn start(plug_in: &[u8]) -> Result<Side> {
        let manifest = Manifest::new([Wasm::data(plug_in)]);
        let limited = manifest.clone().with_timeout(TIMEOUT).with_memory_max(MEMORY_PAGES);
        Ok(Side { timed: Extism::start(limited)?, free: Extism::start(manifest)? })
    }

    fn answer(&mut self, request: &str) -> Result<String> {
        let words: Vec<&str> = request.split(' ').collect();
        Ok(match words[..] {
            ["answers", first, rows] => ask(&mut self.timed.warm, &batch(first.parse()?, rows.parse()?))?.to_owned(),
            ["large", limits, batches, rows] => self.under(limits)?.large(batches.parse()?, rows.parse()?)?.to_string(),
            ["small", limits, calls] => {
                let (took, used) = self.under(limits)?.small(calls.parse()?)?;
                format!("{took} {used}")
            }
            ["instance", limits, rounds] => self.under(limits)?.instance(rounds.parse()?)?.to_string(),
            _ => bail!("no such request: {request}"),
        })
    }

    fn under(&mut self, limits: &str) -> Result<&mut Extism> {
        match limits {
            "timeout" => Ok(&mut self.timed),
            "none" => Ok(&mut self.free),
            _ => bail!("no such limits: {limits}"),
        }
    }
}

/// A plug-in under some limits.
struct Extism {
    compiled: CompiledPlugin,
    /// The instance that is asked.
    warm: Plugin,
}

impl Extism {
    fn start(manifest: Manifest) -> Result<Extism> {
        // The cache of compiled code would be left behind in the user's home.
        let compiled = PluginBuilder::new(manifest).with_cache_disabled().compile()?;
        let warm = Plugin::new_from_compiled(&compiled)?;
        Ok(Extism { compiled, warm })
    }

    fn large(&mut self, batches: usize, rows: usize) -> Result<f64> {
        let mut used = Duration::ZERO;
        for number in 0..batches {
            let text = batch((number * rows) as i64, rows);
            let begin = process_cpu_time();
            black_box(ask(&mut self.warm, &text)?);
            used += process_cpu_time() - begin;
        }
        Ok(microseconds(used) / (batches * rows) as f64)
    }

    fn small(&mut self, calls: usize) -> Result<(f64, f64)> {
        let texts: Vec<_> = (0..calls).map(|number| batch(number as i64, 1)).collect();
        let mut took = Vec::with_capacity(calls);
        let begin = process_cpu_time();
        for text in &texts {
            let begin = Instant::now();
            black_box(ask(&mut self.warm, text)?);
            took.push(begin.elapsed());
        }
        let used = process_cpu_time() - begin;
        Ok((Sample::new(took).p50_ms() * 1e3, microseconds(used) / calls as f64))
    }

    fn instance(&mut self, rounds: usize) -> Result<f64> {
        let text = batch(1, 1);
        let mut took = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let begin = Instant::now();
            let mut plug_in = Plugin::new_from_compiled(&self.compiled)?;
            black_box(ask(&mut plug_in, &text)?);
            took.push(begin.elapsed());
        }
        Ok(Sample::new(took).p50_ms() * 1e3)
    }
}

fn ask<'a>(plug_in: &'a mut Plugin, text: &'a str) -> Result<&'a str> {
    plug_in.call("transform", text)
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
