// Package gateway is the HTTP client for source APIs behind the API gateway
// (Gravitee, APIM 3 and 4). It fetches one resource at a time and says with
// package failure what every answer means; package source builds on it.
//
// What [Client.Get] promises:
//   - A response is a 200, 201 or 203 with a body that is not blank, read
//     completely. That the body is what the source wanted to say is for the
//     caller to check: the gateway can cut a body and still end it normally.
//   - An empty body, 202, 204, 205, 206 and 304 are failure.Failed: they are
//     never "no data".
//   - A 404 or 410 is failure.Gone only if [Config].Gone accepts it, and never
//     if it holds the gateway's text for an API that it does not know. Without
//     proof it is failure.Unavailable. With [Config].SecondLook two answers in a
//     row must prove it, the second read past the cache.
//   - What concerns everybody is failure.Unavailable: no answer, 401, 403, 405,
//     406, 407, 408, 421, 425, 426, 429, 431, 5xx, redirects. All other 4xx are
//     failure.Failed.
//   - Retry-After, or for a 429 the end of an exhausted rate limit, quota or
//     spike window, becomes failure.RetryAfter: never negative, at most 24 h.
//   - A stray 502, 503, 504 or broken connection is retried a few times within
//     the call, at the next of [Config].Alternatives if there are any. A 503
//     that says Retry-After is not, nor, with one gateway, what took long.
//   - No more requests are in flight than [Config].MaxInFlight, and no more are
//     sent per second than [Config].MaxRate.
//   - Flows that wait for the same limit take turns, see [Request].Flow: while
//     one waits, each of the others gets one turn at most.
//   - A limit of the gateway's is kept to as soon as its period is known: from
//     the headers, if the clocks agree and it is a minute or less, else from the
//     text of the first 429. Half of it may be used in a burst, the rest is
//     spread until the window ends. It is shared with other instances of the
//     connector, through what the gateway says is left. What is not heard of for
//     an hour is forgotten.
//   - The gateway's clock is not trusted: the answers tell how far it is from
//     ours, and with a known period of a minute or less no wait is longer than
//     that period.
//   - A 429 whose end is known, and not further away than [Config].TryTimeout, is
//     waited for and repeated, as far as [Config].Retries allows. Until a later
//     end all calls fail at once, as failure.Unavailable, and nothing is sent.
//   - Identical fetches at the same time are one: of the same path, query and
//     route. A fetch with [Request].Fresh or ChangedAt joins only one that has
//     not been sent. The joined response has the other's transaction id.
//   - The end of the caller's context is passed through, see errors.Is. The end
//     of [Config].TryTimeout and Timeout is failure.Unavailable.
//   - Redirects are not followed, whatever they point to.
//   - No path leaves the base URL: one that could is failure.Rejected and not
//     sent, however it is escaped.
//   - With [Request].Fresh the gateway's cache is bypassed and overwritten. The
//     owner of an API can forbid that; no client can tell. Where a state tells
//     its time, [Config].Freshness compares it with [Request].ChangedAt, fetches
//     one that is too old again with growing delays, and then returns
//     failure.Failed: an outage would stop all entities for the sake of one.
//   - The key goes to the base URLs only, in a header only. It is in no error and
//     in nothing that fmt, slog or encoding/json print.
//   - What [Config].Auth sets goes with every request. One that is refused by 401
//     is sent once more, at once, if there are other credentials by then. Without
//     credentials nothing is sent, and that is failure.Unavailable.
//   - Errors name the route and the transaction id, never the path, a header or
//     a part of the body other than the gateway's own fixed messages.
//   - Connections are reused whatever the answer was, as far as the gateway
//     keeps them open.
//   - A Client may be used concurrently.
package gateway
