//! Generates stubs for methods with errors, so that their call sites cause no further errors.

use proc_macro2::TokenStream;
use quote::quote;

use super::target;
use crate::model::Stub;

// Input:  pub async fn hello(session: &Session, names: Vec<&str>)
// Output: pub fn hello(self, _: impl ::core::marker::Sized) -> R::Pending { ::core::unreachable!() }
pub(crate) fn facade_method(stub: &Stub) -> TokenStream {
    let Stub { ident, cfgs, vis, arguments } = stub;
    let target = target();
    let anything = (0..*arguments).map(|_| quote!(_: impl ::core::marker::Sized));
    quote! {
        #(#cfgs)*
        #[doc(hidden)]
        #vis fn #ident(self #(, #anything)*) -> #target::Pending {
            ::core::unreachable!()
        }
    }
}
