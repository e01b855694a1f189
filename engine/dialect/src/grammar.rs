//! sqlparser's generic dialect with the precedences of PostgreSQL, for all that is parsed: files and clients' statements.
//!
//! What differs from sqlparser's own
//! * The right side of `IS [NOT] DISTINCT FROM` ends before AND and OR; sqlparser takes the rest of the condition in.
//! * `||` binds less than `+` and `*`.
//! * `LIKE`, `BETWEEN` and `IN` bind more than comparisons.
//! * `1_000` is a number; sqlparser takes the rest of it for an alias.
//!
//! Not here: tokens (`lex`), what a query may contain (`pipeline`).

use sqlparser::ast::Expr;
use sqlparser::dialect::{Dialect, GenericDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;
use std::any::TypeId;

/// See the module.
#[derive(Debug)]
pub struct Grammar;

/// The grammar of all SQL here.
pub static GRAMMAR: Grammar = Grammar;

static GENERIC: GenericDialect = GenericDialect;

/// Between comparisons and `+`.
const CONCATENATION: u8 = 25;

/// As the generic dialect says.
macro_rules! as_generic {
    ($($method:ident)*) => {
        $(fn $method(&self) -> bool {
            GENERIC.$method()
        })*
    };
}

impl Dialect for Grammar {
    fn dialect(&self) -> TypeId {
        GENERIC.dialect()
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        match precedence {
            Precedence::Like => GENERIC.prec_value(Precedence::Between),
            Precedence::Eq => GENERIC.prec_value(Precedence::Is) + 1,
            other => GENERIC.prec_value(other),
        }
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        (parser.peek_token_ref().token == Token::StringConcat).then_some(Ok(CONCATENATION))
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        let made: fn(Box<Expr>, Box<Expr>) -> Expr =
            if parser.parse_keywords(&[Keyword::IS, Keyword::DISTINCT, Keyword::FROM]) {
                Expr::IsDistinctFrom
            } else if parser.parse_keywords(&[Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM]) {
                Expr::IsNotDistinctFrom
            } else {
                return None;
            };
        Some(parser.parse_subexpr(precedence).map(|right| made(Box::new(left.clone()), Box::new(right))))
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        GENERIC.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        GENERIC.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        GENERIC.is_identifier_part(ch)
    }

    fn supports_numeric_literal_underscores(&self) -> bool {
        true
    }

    as_generic! {
        supports_unicode_string_literal
        supports_partition_by_after_order_by
        supports_array_join_syntax
        supports_group_by_expr
        supports_group_by_with_modifier
        supports_left_associative_joins_without_parens
        supports_connect_by
        supports_match_recognize
        supports_pipe_operator
        supports_start_transaction_modifier
        supports_window_function_null_treatment_arg
        supports_dictionary_syntax
        supports_window_clause_named_window_reference
        supports_parenthesized_set_variables
        supports_select_wildcard_except
        support_map_literal_syntax
        allow_extract_custom
        allow_extract_single_quotes
        supports_extract_comma_syntax
        supports_create_view_comment_syntax
        supports_parens_around_table_factor
        supports_values_as_table_factor
        supports_create_index_with_clause
        supports_explain_with_utility_options
        supports_limit_comma
        supports_update_order_by
        supports_from_first_select
        supports_projection_trailing_commas
        supports_asc_desc_in_column_definition
        supports_try_convert
        supports_bitwise_shift_operators
        supports_comment_on
        supports_load_extension
        supports_named_fn_args_with_assignment_operator
        supports_struct_literal
        supports_empty_projections
        supports_nested_comments
        supports_multiline_comment_hints
        supports_user_host_grantee
        supports_string_escape_constant
        supports_array_typedef_with_brackets
        supports_match_against
        supports_set_names
        supports_comma_separated_set_assignments
        supports_filter_during_aggregation
        supports_select_wildcard_exclude
        supports_data_type_signed_suffix
        supports_interval_options
        supports_quote_delimited_string
        supports_select_wildcard_replace
        supports_select_wildcard_ilike
        supports_select_wildcard_rename
        supports_optimize_table
        supports_install
        supports_detach
        supports_prewhere
        supports_with_fill
        supports_limit_by
        supports_interpolate
        supports_settings
        supports_select_format
        supports_comment_optimizer_hint
        supports_constraint_keyword_without_name
        supports_key_column_option
        supports_comma_separated_trim
        supports_cte_without_as
        supports_select_item_multi_column_alias
        supports_xml_expressions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(sql: &str) -> Expr {
        let mut parser = Parser::new(&GRAMMAR).try_with_sql(sql).unwrap();
        let expr = parser.parse_expr().unwrap();
        assert_eq!(parser.peek_token_ref().token, Token::EOF, "{sql}");
        expr
    }

    /// The tree with every operation in parentheses, the user's own left out.
    fn shape(expr: &Expr) -> String {
        match expr {
            Expr::Nested(e) => shape(e),
            Expr::BinaryOp { left, op, right } => format!("({} {op} {})", shape(left), shape(right)),
            Expr::UnaryOp { op, expr } => format!("({op} {})", shape(expr)),
            Expr::IsDistinctFrom(a, b) => format!("({} ISNT {})", shape(a), shape(b)),
            Expr::IsNotDistinctFrom(a, b) => format!("({} IS {})", shape(a), shape(b)),
            Expr::IsNull(e) => format!("({} NULL)", shape(e)),
            Expr::Like { expr, pattern, .. } => format!("({} LIKE {})", shape(expr), shape(pattern)),
            Expr::Between { expr, low, high, .. } => {
                format!("({} BETWEEN {} {})", shape(expr), shape(low), shape(high))
            }
            Expr::InList { expr, list, .. } => {
                format!("({} IN {})", shape(expr), list.iter().map(shape).collect::<Vec<_>>().join(" "))
            }
            other => other.to_string(),
        }
    }

    /// PostgreSQL's table of precedences: https://www.postgresql.org/docs/current/sql-syntax-lexical.html
    #[test]
    fn operators_bind_as_in_postgresql() {
        for (sql, wanted) in [
            ("a IS NOT DISTINCT FROM b AND c", "((a IS b) AND c)"),
            ("a IS DISTINCT FROM b OR c = d", "((a ISNT b) OR (c = d))"),
            ("x AND a IS DISTINCT FROM b OR c", "((x AND (a ISNT b)) OR c)"),
            ("NOT a IS DISTINCT FROM b AND c", "((NOT (a ISNT b)) AND c)"),
            ("a IS DISTINCT FROM b + 1 AND c", "((a ISNT (b + 1)) AND c)"),
            ("a IS DISTINCT FROM b = c", "(a ISNT (b = c))"),
            ("a IS DISTINCT FROM (b AND c)", "(a ISNT (b AND c))"),
            ("a IS DISTINCT FROM b IS NULL", "((a ISNT b) NULL)"),
            ("a = b IS NULL", "((a = b) NULL)"),
            ("'a' || x * 2", "('a' || (x * 2))"),
            ("'a' || x + 2 || 'b'", "(('a' || (x + 2)) || 'b')"),
            ("x - 1 || 'b' = 'c'", "(((x - 1) || 'b') = 'c')"),
            ("a LIKE b = c", "((a LIKE b) = c)"),
            ("c = a LIKE b", "(c = (a LIKE b))"),
            ("a LIKE b || '%'", "(a LIKE (b || '%'))"),
            ("c = a BETWEEN 1 AND 2", "(c = (a BETWEEN 1 2))"),
            ("a BETWEEN 1 AND 2 = c AND d", "(((a BETWEEN 1 2) = c) AND d)"),
            ("c <> a IN (1, 2)", "(c <> (a IN 1 2))"),
            ("NOT a = b AND c OR d", "(((NOT (a = b)) AND c) OR d)"),
            ("a < b + 1 AND -a * 2 > 3", "((a < (b + 1)) AND (((- a) * 2) > 3))"),
        ] {
            assert_eq!(shape(&parsed(sql)), wanted, "{sql}");
        }
    }

    #[test]
    fn digits_may_be_grouped() {
        for sql in ["1_000", "1_000_000.5", "0.000_1", "1_0e2"] {
            assert!(matches!(parsed(sql), Expr::Value(_)), "{sql}");
        }
    }

    /// A flag that is not handed on would be the trait's default.
    #[test]
    fn the_rest_is_the_generic_dialect() {
        for sql in [
            "SELECT * EXCLUDE (a) FROM t",
            "SELECT * REPLACE (a + 1 AS a) FROM t",
            "SELECT count(*) FILTER (WHERE a > 1) FROM t",
            "SELECT MAP {'a': 1}",
            "SELECT lag(a) IGNORE NULLS OVER (w ORDER BY a) FROM t WINDOW w AS (PARTITION BY b)",
            "SELECT {'a': 1}",
            "FROM t SELECT a",
            "SELECT f(a => 1)",
            "SELECT `a`, E'\\n', U&'\\00e9' FROM t /* a /* nested */ comment */",
            "SELECT a << 1 FROM t LIMIT 1, 2",
            "SELECT CAST(a AS INT[]) FROM t GROUP BY ALL",
        ] {
            let generic = Parser::parse_sql(&GENERIC, sql);
            assert!(generic.is_ok(), "{sql}: {generic:?}");
            assert_eq!(Parser::parse_sql(&GRAMMAR, sql), generic, "{sql}");
        }
    }
}
