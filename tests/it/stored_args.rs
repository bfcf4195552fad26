//! Arguments written by released versions must decode for ever: `stored_args/<version>/` has those of each version.
//!
//! `UPDATE_EXPECT=1 cargo test -p futurecall-tests stored_args` writes the folder of the current version. Files of a
//! released version are never changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::serde_json::value::RawValue;
use futurecall_runtime::{CallState, Role};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::Journal;
use serde::{Deserialize, Serialize};

pub(crate) struct Kept;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Shape {
    Unit,
    New(u8),
    Pair(bool, char),
    Named { height: f32, inner: Option<Box<Shape>> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Newtype(String);

#[future_call]
impl Kept {
    pub(crate) async fn nothing(_session: &Session, #[future_call(state)] journal: &Journal) {
        journal.write("kept.nothing");
    }

    pub(crate) async fn numbers(
        _session: &Session,
        small: i8,
        large: u64,
        huge: i128,
        single: f32,
        double: f64,
        #[future_call(state)] journal: &Journal,
    ) {
        assert_eq!((small, large, huge), (i8::MIN, u64::MAX, i128::MIN));
        assert_eq!((single.to_bits(), double.to_bits()), (0.1_f32.to_bits(), (0.1_f64 + 0.2).to_bits()));
        journal.write("kept.numbers");
    }

    pub(crate) async fn texts(
        _session: &Session,
        text: &str,
        letter: char,
        newtype: Newtype,
        #[future_call(state)] journal: &Journal,
    ) {
        assert_eq!((text, letter, newtype), (TEXT, '\u{1f600}', Newtype(String::new())));
        journal.write("kept.texts");
    }

    #[expect(clippy::too_many_arguments, reason = "one for each kind of type")]
    pub(crate) async fn containers(
        _session: &Session,
        bytes: &[u8],
        maybe: Option<u8>,
        none: Option<u8>,
        map: BTreeMap<u32, Vec<(String, ())>>,
        shapes: Vec<Shape>,
        duration: Duration,
        #[future_call(state)] journal: &Journal,
    ) {
        assert_eq!((bytes, maybe, none, duration), (&[0, 255][..], Some(1), None, Duration::from_nanos(1)));
        assert_eq!((map, shapes), (a_map(), all_shapes()));
        journal.write("kept.containers");
    }
}

const TEXT: &str = "quote \" backslash \\ nul \0 line\n separator \u{2028} combining e\u{301} \u{202e}rtl";

fn a_map() -> BTreeMap<u32, Vec<(String, ())>> {
    BTreeMap::from([(0, vec![]), (u32::MAX, vec![("x".to_owned(), ())])])
}

fn all_shapes() -> Vec<Shape> {
    let named = Shape::Named { height: -0.5, inner: Some(Box::new(Shape::New(1))) };
    vec![Shape::Unit, Shape::New(0), Shape::Pair(true, 'é'), named]
}

async fn pod(journal: &Journal) -> Pod {
    let builder = Backend::memory().builder().role(Role::Maintenance);
    builder.state(journal.clone()).register(Kept).start().await.unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stored_args")
}

#[tokio::test]
async fn this_version_writes_what_is_kept() {
    let pod = pod(&Journal::new()).await;
    let now = || pod.future_calls().call_now().kept();
    let calls = [
        now().nothing(),
        now().numbers(i8::MIN, u64::MAX, i128::MIN, 0.1, 0.1 + 0.2),
        now().texts(TEXT, '\u{1f600}', Newtype(String::new())),
        now().containers(&[0, 255], Some(1), None, a_map(), all_shapes(), Duration::from_nanos(1)),
    ];
    let folder = folder().join(env!("CARGO_PKG_VERSION"));
    for call in calls {
        let id = call.await.unwrap();
        let call = pod.inspect().call(id).await.unwrap().unwrap();
        assert_eq!(call.format, 1);
        let file = folder.join(format!("{}.json", call.name));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, format!("{}\n", call.args)).unwrap();
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(kept.trim_end(), call.args, "{} is not what this version writes", file.display());
    }
    pod.shutdown().await;
}

#[tokio::test]
async fn what_every_version_wrote_is_read() {
    let mut read = 0;
    for version in fs::read_dir(folder()).unwrap() {
        for file in fs::read_dir(version.unwrap().path()).unwrap() {
            let file = file.unwrap().path();
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let args = RawValue::from_string(fs::read_to_string(&file).unwrap()).unwrap();
            let journal = Journal::new();
            let pod = pod(&journal).await;
            let id = pod.future_call_with_delay(&name, Some(&args), Duration::ZERO).await.unwrap();
            pod.run_due().await.unwrap();
            let call = pod.inspect().call(id).await.unwrap().unwrap();
            assert_eq!((call.state, call.error), (CallState::Succeeded, None), "{}", file.display());
            assert_eq!(journal.lines(), [name]);
            pod.shutdown().await;
            read += 1;
        }
    }
    assert!(read >= 4, "only {read} files were found in {}", folder().display());
}
