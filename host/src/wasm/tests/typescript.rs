//! TypeScript as scripts: types are erased, places stay.

use super::*;

fn script(source: &str) -> Bench {
    Bench::new("probe.ts", source.as_bytes(), |_| {})
}

#[tokio::test]
async fn types_are_erased_and_lines_kept() {
    let source = "
interface Place { id: number; name?: string }
type Args = Readonly<Record<string, unknown>>;

declare const nothing: Place;

enum Size { Small, Large = 'large' }

abstract class Named<T extends Place> implements Iterable<T> {
  private static readonly count: number = 1;
  declare ghost: string;
  constructor(protected readonly place: T, public suffix?: string) {}
  abstract other(): void;
  get name(): string { return `${this.place.name!}${this.suffix ?? ''}`; }
  [Symbol.iterator] = function* (this: Named<T>): Generator<T> { yield this.place; } as any;
  [key: string]: any;
}

class Whole extends Named<Place> { override other(): void {} }

function over(x: string): string;
function over(x: number): number;
function over(x: any) { return x; }

export function transform(place: Place, _args: Args): unknown {
  if (place.id < 0) throw new Error('negative');
  const all = <T,>(x: T): T => x;
  const [first] = [...new Whole(place, '!')] satisfies Place[];
  return { name: new Whole(place, '!').name, id: all<number>(first!.id) as unknown as number, size: Size.Large, small: Size[0], x: over(1) };
}
";
    let mut bench = script(source);
    let version = bench.loaded().await;
    let answers = bench.ask(version, "{}", &[r#"{"id":3,"name":"a"}"#, r#"{"id":-1}"#]).await;
    assert_eq!(answers[0].as_deref(), Ok(r#"{"name":"a!","id":3,"size":"large","small":"Small","x":1}"#));
    assert_eq!(answers[1], Err("probe.ts:26: Error: negative".into()));
}

#[tokio::test]
async fn statements_stay_apart_without_the_types_between_them() {
    let source = "
let called = false;
const f = (x: unknown) => { called = true; return x; };
const a = f
type T = { x: string }
(1);
const b = f as (x: unknown) => unknown
[1].forEach((x: number) => x);
const c = f
interface I { x: string }
[called] = [called];
const long = (x: number):
  number => x;
export const transform = () => [called, typeof a, typeof b, typeof c, long(1)];
";
    let answer = script(source).once("1").await;
    assert_eq!(answer.as_deref(), Ok(r#"[false,"function","function","function",1]"#));
}

#[tokio::test]
async fn what_is_more_than_types_is_refused_with_its_place() {
    for (source, expected) in [
        ("namespace A { export const x = 1 }", "probe.ts:1:1: SyntaxError: a namespace is more than types"),
        (
            "type X = 1\nexport namespace A { export const x = 1 }",
            "probe.ts:2:8: SyntaxError: a namespace is more than types",
        ),
        ("module A { export const x = 1 }", "probe.ts:1:1: SyntaxError: a module is more than types"),
        ("class A {\n  @field x = 1\n}", "probe.ts:2:3: SyntaxError: decorators are not supported"),
        ("import fs = require('fs');", "probe.ts:1:1: SyntaxError: import = is not supported"),
        ("export = 1;", "probe.ts:1:1: SyntaxError: export = is not supported"),
        ("const x: = 1;", "probe.ts:1:10: SyntaxError: unexpected '='"),
        ("const x: number = 1 +;", "probe.ts:1:22: SyntaxError: unexpected ';'"),
        (
            "const a: number = 1;\nlet b: number, a: string;",
            "probe.ts:2:16: SyntaxError: identifier 'a' has already been declared",
        ),
    ] {
        let reason = script(source).failed().await;
        assert!(reason.starts_with(expected), "{source}: {reason}");
    }
    let declared = "declare namespace A { namespace B { const x: number } }\ndeclare module 'x' { export const y: number }\ndeclare global { interface X { a: 1 } }\nexport const transform = () => 1;";
    assert_eq!(script(declared).once("1").await.as_deref(), Ok("1"));
}

#[tokio::test]
async fn the_other_ending_is_typescript_too() {
    let mut bench = Bench::new("probe.mts", b"export const transform = (row: number): number => row + 1;", |_| {});
    assert_eq!(bench.once("1").await.as_deref(), Ok("2"));
}
