//! The same points sorted, deduplicated and stored by engines that exist, for comparison.
//!
//! They get more than the compactor gets: points as typed columns on the local disk, and a start that is not counted.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use skein_shared::payload::{Limits, PayloadView};
use tokio::process::Command;

use crate::error::{Error, Result};
use crate::generator::{Generator, GeneratorSettings, OutgoingRecord};
use crate::spread::float;

const SCRIPT: &str = include_str!("engine.py");

/// What the script is run with; kept in the cache of what tests fetch.
const PACKAGES: [&str; 3] = ["pyspark==4.3.0", "duckdb==2.0.1", "numpy"];

/// An engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// `DuckDB`, in one process.
    Duckdb,
    /// Apache Spark, in one JVM.
    Spark,
}

impl Engine {
    /// Its name, on the command line and in the script.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Duckdb => "duckdb",
            Self::Spark => "spark",
        }
    }
}

/// What an engine took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EngineRun {
    /// Which.
    pub engine: Engine,
    /// How many threads it had.
    pub threads: u32,
    /// Points read.
    pub points_in: u64,
    /// The rest.
    #[serde(flatten)]
    pub took: Took,
}

impl EngineRun {
    /// Points for each second of its processor time.
    pub fn points_per_cpu_second(&self) -> f64 {
        float(self.points_in) * 1000.0 / float(self.took.cpu_ms.max(1))
    }

    /// Points for each second from start to end.
    pub fn points_per_second(&self) -> f64 {
        float(self.points_in) * 1000.0 / float(self.took.elapsed_ms.max(1))
    }

    /// Bytes of Parquet for each point in it.
    pub fn bytes_per_point(&self) -> f64 {
        float(self.took.bytes_out) / float(self.took.points_out.max(1))
    }

    /// MiB of memory at most.
    pub fn peak_mib(&self) -> f64 {
        float(self.took.peak_memory_bytes) / float(1 << 20)
    }
}

/// What the script says of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Took {
    /// Points left.
    pub points_out: u64,
    /// Bytes of Parquet, compressed with zstd.
    pub bytes_out: u64,
    /// From start to end.
    pub elapsed_ms: u64,
    /// Processor time of the engine's process, user and system.
    pub cpu_ms: u64,
    /// The most memory that was resident.
    pub peak_memory_bytes: u64,
}

/// Points as rows, and what reads them.
#[derive(Debug)]
pub(super) struct Rows {
    python: PathBuf,
    script: PathBuf,
    folder: PathBuf,
    points: u64,
}

impl Rows {
    /// Writes the points that `settings` make, in the order in which they were sent.
    ///
    /// # Errors
    /// Python or its packages cannot be had, or the disk is full.
    pub(super) async fn make(settings: GeneratorSettings, directory: &Path) -> Result<Self> {
        let folder = directory.join("rows");
        fs::create_dir_all(&folder).map_err(|e| disk(&e))?;
        let script = folder.join("engine.py");
        fs::write(&script, SCRIPT).map_err(|e| disk(&e))?;
        let raw = folder.join("raw");
        let generator = Generator::new(settings)?;
        let points = write_rows(&generator, &raw).map_err(|e| disk(&e))?;
        let rows = Self {
            python: python().await?,
            script,
            folder,
            points,
        };
        let parquet = rows.folder.join("points");
        rows.call(&["prepare".as_ref(), &raw, &parquet]).await?;
        fs::remove_file(&raw).map_err(|e| disk(&e))?;
        Ok(rows)
    }

    /// Runs an engine over them.
    ///
    /// # Errors
    /// It did not come to its end, or says nothing that can be read.
    pub(super) async fn run(&self, engine: Engine, threads: u32) -> Result<EngineRun> {
        let output = self.folder.join(engine.name());
        let _ = fs::remove_dir_all(&output);
        let input = self.folder.join("points");
        let count = threads.to_string();
        let arguments: [&Path; 4] = [
            engine.name().as_ref(),
            &input,
            &output,
            count.as_str().as_ref(),
        ];
        let said = self.call(&arguments).await?;
        let took = serde_json::from_slice(&said);
        let took = took.map_err(|e| failed(engine.name(), e.to_string()))?;
        Ok(EngineRun {
            engine,
            threads,
            points_in: self.points,
            took,
        })
    }

    async fn call(&self, arguments: &[&Path]) -> Result<Vec<u8>> {
        let mut command = Command::new(&self.python);
        command
            .arg(&self.script)
            .args(arguments)
            .env("SPARK_LOCAL_IP", "127.0.0.1")
            .env("PYSPARK_PYTHON", &self.python);
        output(command, "engine.py").await
    }
}

/// The interpreter, with the packages.
async fn python() -> Result<PathBuf> {
    let cache = match std::env::var_os("SKEIN_CACHE").filter(|it| !it.is_empty()) {
        Some(cache) => PathBuf::from(cache),
        None => std::env::home_dir()
            .map(|home| home.join(".cache/skein"))
            .ok_or_else(|| failed("python3", "no home directory; set SKEIN_CACHE".into()))?,
    };
    let folder = cache.join("engines");
    let python = folder.join("bin/python");
    if !python.exists() {
        let mut command = Command::new("python3");
        command.args(["-m", "venv"]).arg(&folder);
        output(command, "python3 -m venv").await?;
    }
    let mut command = Command::new(&python);
    command
        .args(["-m", "pip", "install", "--quiet"])
        .args(PACKAGES);
    output(command, "pip install").await?;
    Ok(python)
}

async fn output(mut command: Command, name: &str) -> Result<Vec<u8>> {
    command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    let output = command.output().await;
    let output = output.map_err(|e| failed(name, e.to_string()))?;
    if !output.status.success() {
        return Err(failed(name, output.status.to_string()));
    }
    Ok(output.stdout)
}

/// Org, metric, time, value and order of every point, eight bytes each.
fn write_rows(generator: &Generator, path: &Path) -> std::io::Result<u64> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut records = generator.records();
    let mut record = OutgoingRecord::default();
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    let mut points = 0u64;
    while records.next_into(&mut record) {
        let parsed = PayloadView::parse(&record.value, &Limits::default(), None);
        let view = parsed.map_err(|refusal| std::io::Error::other(refusal.name()))?;
        timestamps.clear();
        values.clear();
        view.points().decode_into(&mut timestamps, &mut values);
        let ahead = record.timestamp.0 - generator.settings().start.0;
        for (timestamp, value) in timestamps.iter().zip(&values) {
            file.write_all(&view.org().0.to_le_bytes())?;
            file.write_all(&view.series().metric.0.to_le_bytes())?;
            file.write_all(&timestamp.to_le_bytes())?;
            file.write_all(&value.to_le_bytes())?;
            file.write_all(&order_of(ahead, points).to_le_bytes())?;
            points += 1;
        }
    }
    file.flush()?;
    Ok(points)
}

/// The record's time decides, then the place: a series has one partition.
fn order_of(ahead_ms: i64, place: u64) -> i64 {
    const PLACE_BITS: u32 = 36;
    assert!(place < 1 << PLACE_BITS, "more points than fit");
    let time = ahead_ms
        .checked_mul(1 << PLACE_BITS)
        .expect("records lie within days of the start");
    time + place.cast_signed()
}

fn disk(error: &std::io::Error) -> Error {
    failed("rows of points", error.to_string())
}

fn failed(command: &str, reason: String) -> Error {
    Error::Engine {
        command: command.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_in_which_points_win() {
        assert!(order_of(-1, 9) < order_of(0, 0));
        assert!(order_of(0, 9) < order_of(0, 10));
        assert!(order_of(0, 10) < order_of(1, 0));
    }

    #[test]
    fn every_point_is_a_row() {
        let settings = GeneratorSettings {
            orgs: 2,
            series: 4,
            points: 1_000,
            ..GeneratorSettings::default()
        };
        let generator = Generator::new(settings).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("raw");
        let points = write_rows(&generator, &path).unwrap();
        assert!(points >= 1_000, "{points}");
        assert_eq!(fs::metadata(&path).unwrap().len(), points * 40);
    }
}
