// Package source reads from source systems. [Source] is what a connector's flow
// needs: [Func] makes one of a function, [REST] fetches JSON through the API
// gateway, whose client is in package source/gateway, and [Composite] puts a
// state together from several fetches, of which some may be collections:
// [RESTCollection].
//
// [Lister] is for full provisioning: [RESTLister] lists an API page by page, in
// the styles of [Paging], and says at the end whether that was everything.
//
// What a source and a lister promise is written where [Source] and [Lister] are,
// and checked by the suite in package testkit/sourcetest.
package source
