//! The attributes of the crate `sangre-node`, where they are documented.

use proc_macro::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{FnArg, Ident, ItemFn, LitStr, ReturnType, Signature, Type, parse_macro_input};

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
    if let Some(fault) = fault(&written.sig, function) {
        // With the function, or what it alone uses would be warned of as well.
        let fault = fault.to_compile_error();
        return quote!(#[allow(dead_code)] #written #fault).into();
    }
    let name = &written.sig.ident;
    let noun = if function == "reduce" { "rows" } else { "row" };
    let call = call(&written.sig, function);
    let (interface, function) = (format_ident!("{interface}"), format_ident!("{function}"));
    let wit = LitStr::new(WIT, name.span());
    let answer = format_ident!("{}", if takes_reference(&written.sig) { "answer" } else { "answer_owned" });
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

/// What no node's function is, whatever its types are.
fn fault(signature: &Signature, function: &str) -> Option<syn::Error> {
    let name = &signature.ident;
    let (place, message) = if signature.inputs.len() != 2 {
        (signature.to_token_stream(), format!("a node takes two arguments: fn {name}(row: Row, args: Args)"))
    } else if let Some(keyword) = &signature.asyncness {
        (keyword.to_token_stream(), "a node cannot be async".into())
    } else if matches!(signature.output, ReturnType::Default) {
        let message = match function {
            "keep" => "a filter answers true or false: write -> bool",
            _ => "a node answers what it returns: write -> and its type, which may be () if null is meant",
        };
        (name.to_token_stream(), message.into())
    } else {
        return None;
    };
    Some(syn::Error::new_spanned(place, message))
}

/// The call of the function, as a `Result`.
fn call(signature: &Signature, function: &str) -> impl ToTokens {
    let name = &signature.ident;
    if function == "keep" {
        // A type that is not a filter's is an error of this call, so it is placed where that is written.
        let at = answer_type(signature).span();
        let name = Ident::new(&name.to_string(), at);
        return quote_spanned!(at=> ::sangre_node::__private::kept(super::#name(row, args)));
    }
    if returns_result(signature) {
        quote!(super::#name(row, args).map_err(|error| ::std::string::ToString::to_string(&error)))
    } else {
        quote!(::std::result::Result::Ok(super::#name(row, args)))
    }
}

/// Whether the args are taken by reference.
fn takes_reference(signature: &Signature) -> bool {
    matches!(signature.inputs.last(), Some(FnArg::Typed(args)) if matches!(*args.ty, Type::Reference(_)))
}

fn answer_type(signature: &Signature) -> Option<&Type> {
    match &signature.output {
        ReturnType::Type(_, ty) => Some(ty),
        ReturnType::Default => None,
    }
}

/// Whether the return type is written as some `Result`.
fn returns_result(signature: &Signature) -> bool {
    matches!(answer_type(signature), Some(Type::Path(path)) if path.path.segments.last().is_some_and(|last| last.ident == "Result"))
}
