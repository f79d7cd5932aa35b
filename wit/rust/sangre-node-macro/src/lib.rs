//! The attributes of the crate `sangre-node`, where they are documented.

use proc_macro::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{FnArg, Ident, ItemFn, ReturnType, Signature, Type, parse_macro_input};

/// Makes a filter of `fn(row, args) -> bool`.
#[proc_macro_attribute]
pub fn keep(_: TokenStream, item: TokenStream) -> TokenStream {
    node(item, "FILTER", "filter-rows", "keep")
}

/// Makes a map of `fn(row, args) -> T`.
#[proc_macro_attribute]
pub fn transform(_: TokenStream, item: TokenStream) -> TokenStream {
    node(item, "MAP", "map-rows", "transform")
}

/// Makes a reduce of `fn(rows, args) -> T`.
#[proc_macro_attribute]
pub fn reduce(_: TokenStream, item: TokenStream) -> TokenStream {
    node(item, "REDUCE", "reduce-lists", "reduce")
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
    let noun = if function == "reduce" { "rows" } else { "row" };
    let call = call(&written.sig, function);
    let world = format_ident!("{world}");
    let export = format!("sangre:node/{interface}@0.1.0#{function}");
    let post = format!("cabi_post_{export}");
    let answer = format_ident!("{}", if takes_reference(&written.sig) { "answer" } else { "answer_owned" });
    quote! {
        #written

        // Compiled for another target, as in tests of the function, it is there and nobody calls it.
        #[doc(hidden)]
        #[allow(dead_code)]
        mod __sangre_node {
            use ::sangre_node::__private::{Returned, #answer, called, forget, last_words, on_panic};
            #[cfg(target_arch = "wasm32")]
            use ::sangre_node::__private::#world;

            #[cfg(target_arch = "wasm32")]
            #[unsafe(link_section = "component-type:sangre-node")]
            pub static WORLD: [u8; #world.len()] = *#world;

            #[cfg_attr(target_arch = "wasm32", unsafe(export_name = #export))]
            unsafe extern "C" fn call(batch: *mut u8, length: usize) -> *mut Returned {
                on_panic(last_words);
                unsafe { called(batch, length, |batch| #answer(#noun, batch, |row, args| #call)) }
            }

            #[cfg_attr(target_arch = "wasm32", unsafe(export_name = #post))]
            unsafe extern "C" fn read(returned: *mut Returned) {
                unsafe { forget(returned) }
            }
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
