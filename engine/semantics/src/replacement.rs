//! The replacement of `regexp_replace`, in PostgreSQL's syntax.
//!
//!   \1 to \9       what a group of the pattern matched, nothing where there is no such group
//!   \0 and \&      the whole match
//!   \\             one backslash
//!   all else       itself
//!
//! DataFusion hands it to a library where `$5` and `${name}` are groups too, and two backslashes two.
//!
//! Invariants
//! * A dollar is a dollar.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, LargeStringArray, StringArray, StringViewArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl};

use crate::delegated::as_inner;

/// Puts the function in the place of DataFusion's.
pub(crate) fn wrap(functions: &mut [Arc<ScalarUDF>]) {
    for function in functions.iter_mut().filter(|f| f.name() == "regexp_replace") {
        *function = Arc::new(ScalarUDF::from(RegexpReplace { inner: Arc::clone(function) }));
    }
}

/// `regexp_replace`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RegexpReplace {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for RegexpReplace {
    as_inner!(names, types);

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let Some(given) = args.args.get_mut(2) {
            match given {
                ColumnarValue::Array(texts) => *texts = each(texts),
                ColumnarValue::Scalar(text) => {
                    if let Some(Some(Cow::Owned(put))) = text.try_as_str().map(|t| t.map(in_rust)) {
                        *text = datafusion::common::ScalarValue::Utf8(Some(put)).cast_to(&text.data_type())?;
                    }
                }
            }
        }
        self.inner.invoke_with_args(args)
    }
}

fn each(texts: &ArrayRef) -> ArrayRef {
    match texts.data_type() {
        DataType::Utf8 => Arc::new(texts.as_string::<i32>().iter().map(|t| t.map(in_rust)).collect::<StringArray>()),
        DataType::LargeUtf8 => {
            Arc::new(texts.as_string::<i64>().iter().map(|t| t.map(in_rust)).collect::<LargeStringArray>())
        }
        DataType::Utf8View => {
            Arc::new(texts.as_string_view().iter().map(|t| t.map(in_rust)).collect::<StringViewArray>())
        }
        _ => Arc::clone(texts),
    }
}

/// The replacement as DataFusion and the library below it read it.
fn in_rust(text: &str) -> Cow<'_, str> {
    if !text.contains(['$', '\\']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek().copied()) {
            ('$', _) => out.push_str("$$"),
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                out.extend(["${", digit.encode_utf8(&mut [0; 4]), "}"]);
                chars.next();
            }
            ('\\', Some('&')) => {
                out.push_str("${0}");
                chars.next();
            }
            ('\\', next) => {
                if next == Some('\\') {
                    chars.next();
                }
                // DataFusion takes it for a group where a digit follows; a group without a name is nothing.
                out.push_str("\\${}");
            }
            (other, _) => out.push(other),
        }
    }
    Cow::Owned(out)
}
