// Package build is the core of Boxkiln: what a build is, told in pure data and small interfaces.
//
// A [Plan] is a template resolved for one source. A build runs a plan as a list of [Step] values over one typed
// [Session]; the [Engine] is the short loop that does it. Every outside effect is first written to the [Ledger] as a
// [Resource] and undone by one reaper per kind of resource, so that success, failure, cancel and a crash all clean up by
// the same code. What happens is told as [Event] values. The package does no input or output of its own.
package build
