// Package source reads from source systems: [Source] is what a connector's
// flow needs, [Func] makes one of a function, and [REST] fetches JSON through
// the API gateway, whose client is in package source/gateway.
package source
