//! The reporters of flink-traces inside Apache Flink.
//!
//! This is the native half of a Flink plugin, whose Java half is in the folder `plugin` of the
//! repository. Flink's thread encodes a record as bytes ([`wire`]) and appends them ([`intake`]). A
//! thread of this library decodes them and passes the records to a dispatcher ([`sink`]). A thread
//! of the Java side fetches the lines of the [`log`]. A page shows the accounts ([`metrics`]).
//!
//! The native methods are those of the class `io.flinktraces.Native`. None of them throws for what
//! it gets, and a panic in one of them is a line of the log.

pub mod intake;
pub mod log;
pub mod metrics;
pub mod sink;
pub mod wire;

use std::env;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use jni::objects::{JByteArray, JClass, JString};
use jni::sys::{jint, jlong};
use jni::{Env, NativeMethod, native_method};

use intake::Piece;
use sink::Request;

type Result<T> = std::result::Result<T, jni::errors::Error>;

// The macro exports each method. The values serve only for registration by hand.
#[allow(dead_code, reason = "the JVM finds the methods by name")]
const METHODS: [NativeMethod; 4] = [
    native_method! { java_type = "io.flinktraces.Native", static extern fn open(request: jbyte[]) -> jlong },
    native_method! {
        java_type = "io.flinktraces.Native",
        static extern fn report(handle: jlong, bytes: jbyte[], from: jint, length: jint, repeated: jint, spans: jint),
    },
    native_method! {
        java_type = "io.flinktraces.Native",
        static extern fn close(handle: jlong, millis: jlong) -> JString,
    },
    native_method! { java_type = "io.flinktraces.Native", static extern fn log(millis: jlong) -> JString },
];

/// Opens a reporter. Returns its handle, or 0 after an error, which is in the log.
fn open<'local>(env: &mut Env<'local>, _: JClass<'local>, request: JByteArray<'local>) -> Result<jlong> {
    log::install();
    let bytes = env.convert_byte_array(&request)?;
    Ok(caught(0, || {
        let request = match Request::read(&bytes) {
            Ok(request) => request,
            Err(problem) => {
                tracing::error!("the reporter cannot be opened: {problem}");
                return 0;
            }
        };
        match sink::open(request, env::var_os("FLINK_CONF_DIR").map(PathBuf::from)) {
            Ok(handle) => handle,
            Err(problems) => {
                for problem in problems {
                    match problem.is_error() {
                        true => tracing::error!("{problem}"),
                        false => tracing::warn!("{problem}"),
                    }
                }
                0
            }
        }
    }))
}

/// The size of the memory of an encoder (`Encoder.PIECE`), which no right length exceeds.
const MAX_PIECE: usize = 64 * 1024;

/// Appends `length` bytes of a record, from the index `from` on, whose references stand for
/// `repeated` bytes.
///
/// `spans` is 0 if further bytes follow, the number of spans of a complete record, or its negative
/// for a record that cannot be completed.
#[expect(clippy::too_many_arguments, reason = "the parameters are those of the native method")]
fn report<'local>(
    env: &mut Env<'local>,
    _: JClass<'local>,
    handle: jlong,
    bytes: JByteArray<'local>,
    from: jint,
    length: jint,
    repeated: jint,
    spans: jint,
) -> Result<()> {
    caught(Ok(()), || {
        let piece = match spans {
            0 => Piece::Middle,
            1.. => Piece::Last(spans.unsigned_abs()),
            _ => Piece::Failed(spans.unsigned_abs()),
        };
        let length = usize::try_from(length).unwrap_or(0).min(MAX_PIECE);
        let repeated = usize::try_from(repeated).unwrap_or(0);
        let fill = |to: &mut [u8]| bytes.get_region(env, from, bytemuck::cast_slice_mut(to));
        sink::with(handle, |sink| sink.report(length, repeated, piece, fill)).unwrap_or(Ok(()))
    })
}

/// Closes a reporter within a time limit, and returns its account; `null` if it was closed
/// before.
fn close<'local>(env: &mut Env<'local>, _: JClass<'local>, handle: jlong, millis: jlong) -> Result<JString<'local>> {
    let account = caught(None, || sink::close(handle, duration(millis)).map(|stats| stats.to_string()));
    text(env, account)
}

/// Returns the next line of the log; `null` if there is none within the time limit.
fn log<'local>(env: &mut Env<'local>, _: JClass<'local>, millis: jlong) -> Result<JString<'local>> {
    let line = caught(None, || log::next(duration(millis)));
    text(env, line)
}

fn text<'local>(env: &mut Env<'local>, text: Option<String>) -> Result<JString<'local>> {
    text.map_or(Ok(JString::null()), |text| JString::from_str(env, &text))
}

fn duration(millis: jlong) -> Duration {
    Duration::from_millis(millis.max(0).unsigned_abs())
}

/// Returns the result of `call`, or `otherwise` after a panic, which the hook has logged.
fn caught<T>(otherwise: T, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        // A payload may panic when it is dropped.
        mem::forget(panic);
        otherwise
    })
}
