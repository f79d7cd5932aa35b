//! The attributes of the crate `sangre-node`, where they are documented.

use proc_macro::TokenStream;
use quote::{format_ident, quote};
use syn::{FnArg, ItemFn, LitStr, ReturnType, Signature, Type, parse_macro_input};

/// The interface, frozen; part of this crate so that a node needs no file beside it.
const WIT: &str = include_str!("../../../0.1.0/node.wit");

/// Makes a filter of `fn(row, args) -> bool`.
#[proc_macro_attribute]
pub fn keep(_: TokenStream, item: TokenStream) -> TokenStream {
    node(item, "filter-node", "filter_rows", "keep")
}

/// Makes a map of `fn(row, args) -> T`.
#[proc_macro_attribute]
pub fn transform(_: TokenStream, item: TokenStream) -> TokenStream {
    node(item, "map-node", "map_rows", "transform")
}

/// Makes a reduce of `fn(rows, args) -> T`.
#[proc_macro_attribute]
pub fn reduce(_: TokenStream, item: TokenStream) -> TokenStream {
    node(item, "reduce-node", "reduce_lists", "reduce")
}

/// The kind's name in a query, not the function's.
#[proc_macro_attribute]
pub fn filter(_: TokenStream, _: TokenStream) -> TokenStream {
    instead("the function of a filter is marked #[sangre_node::keep]")
}

/// The kind's name in a query, not the function's.
#[proc_macro_attribute]
pub fn map(_: TokenStream, _: TokenStream) -> TokenStream {
    instead("the function of a map is marked #[sangre_node::transform]")
}

fn instead(message: &str) -> TokenStream {
    quote!(::core::compile_error!(#message);).into()
}

fn node(item: TokenStream, world: &str, interface: &str, function: &str) -> TokenStream {
    let written = parse_macro_input!(item as ItemFn);
    if written.sig.inputs.len() != 2 {
        let message = format!("a node takes two arguments: fn {}(row: Row, args: Args)", written.sig.ident);
        return syn::Error::new_spanned(&written.sig, message).to_compile_error().into();
    }
    if let Some(keyword) = &written.sig.asyncness {
        return syn::Error::new_spanned(keyword, "a node cannot be async").to_compile_error().into();
    }
    let name = &written.sig.ident;
    let (interface, function) = (format_ident!("{interface}"), format_ident!("{function}"));
    let wit = LitStr::new(WIT, name.span());
    let answer = format_ident!("{}", if takes_reference(&written.sig) { "answer" } else { "answer_owned" });
    let noun = if function == "reduce" { "rows" } else { "row" };
    let call = if returns_result(&written.sig) {
        quote!(super::#name(row, args).map_err(|error| ::std::string::ToString::to_string(&error)))
    } else {
        quote!(::std::result::Result::Ok(super::#name(row, args)))
    };
    quote! {
        #written

        #[doc(hidden)]
        mod __sangre_node {
            ::sangre_node::__private::wit_bindgen::generate!({
                inline: #wit,
                world: #world,
                runtime_path: "::sangre_node::__private::wit_bindgen::rt",
            });

            use self::exports::sangre::node::#interface::{Answers, Guest};
            use self::sangre::node::types::Failure;

            struct Node;

            impl Guest for Node {
                fn #function(batch: ::std::string::String) -> Answers {
                    ::sangre_node::__private::on_panic(sangre::node::log::fail);
                    let answers = ::sangre_node::__private::#answer(#noun, &batch, |row, args| #call);
                    let failures = answers.failures.into_iter();
                    Answers {
                        values: answers.values,
                        failures: failures.map(|(row, message)| Failure { row, message }).collect(),
                    }
                }
            }

            export!(Node);
        }
    }
    .into()
}

/// Whether the args are taken by reference.
fn takes_reference(signature: &Signature) -> bool {
    matches!(signature.inputs.last(), Some(FnArg::Typed(args)) if matches!(*args.ty, Type::Reference(_)))
}

/// Whether the return type is written as some `Result`.
fn returns_result(signature: &Signature) -> bool {
    let ReturnType::Type(_, ty) = &signature.output else { return false };
    matches!(&**ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Result"))
}
