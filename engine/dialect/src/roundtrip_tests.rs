//! parse(print(x)) = x over generated statements that reach every production; formatting twice changes nothing.

mod maker;
mod productions;

use crate::layout::column_type;
use crate::{format_file, parse_type, print};
use maker::{Maker, only};
use productions::PRODUCTIONS;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Puts comments and odd spaces between the tokens of heads, wherever a space stands outside quotes.
fn litter(text: &str, maker: &mut Maker) -> String {
    let mut out = String::new();
    let mut quote: Option<char> = None;
    for c in text.chars() {
        match quote {
            Some(q) if c == q => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            _ => {}
        }
        let is_free = quote.is_none()
            && (c == ' ' || c == '\n')
            && !text.contains("--")
            && !text.contains("$$")
            && !text.contains("\\");
        out.push(c);
        if is_free {
            match maker.below(12) {
                0 => out.push_str("/* b */ "),
                1 => out.push_str("-- l\n"),
                2 => out.push_str("\n\n-- own\n/* a\n b */"),
                3 => out.push('\n'),
                _ => {}
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn printed_statements_parse_to_themselves(seed in any::<u64>()) {
        let statement = Maker::new(seed).statement();
        let text = print(&statement);
        let again = only(&text);
        prop_assert!(again.kind == statement.kind, "{text}\n{statement:#?}\n{again:#?}");
        prop_assert_eq!(print(&again), text);
    }

    #[test]
    fn formatting_twice_changes_nothing(seed in any::<u64>()) {
        let mut maker = Maker::new(seed);
        let count = 1 + maker.below(3);
        let texts: Vec<String> = (0..count).map(|_| { let s = maker.statement(); litter(&print(&s), &mut maker) }).collect();
        let file = litter(&texts.join(" ; "), &mut maker);
        let once = format_file("t.sql", &file);
        prop_assert!(once.is_ok(), "{file}\n{once:#?}");
        let once = once.unwrap();
        let twice = format_file("t.sql", &once).unwrap();
        prop_assert_eq!(&twice, &once, "{}", file);
    }

    #[test]
    fn printed_types_parse_to_themselves(seed in any::<u64>()) {
        let ty = Maker::new(seed).ty(0);
        prop_assert_eq!(parse_type(&column_type(&ty)).unwrap(), ty);
    }
}

#[test]
fn the_generator_reaches_every_production() {
    let mut hits: BTreeMap<&str, usize> = PRODUCTIONS.iter().map(|p| (*p, 0)).collect();
    for seed in 0..1500 {
        let mut maker = Maker::new(seed);
        let _ = print(&maker.statement());
        for (production, n) in maker.hits {
            *hits.entry(production).or_default() += n;
        }
    }
    for (production, n) in &hits {
        println!("{n:>6} {production}");
    }
    println!("{} productions", hits.len());
    let missing: Vec<&&str> = hits.iter().filter(|(_, n)| **n == 0).map(|(p, _)| p).collect();
    assert!(missing.is_empty(), "never generated: {missing:?}");
}
