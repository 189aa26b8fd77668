// Package upstream brings boxes here from elsewhere.
//
// A [Reader] reads what a place offers - a catalog, the Vagrant Cloud, a folder, a single box file - as an [Offer] of
// typed boxes; what Vagrant could not use is not in it, and said in its list of what was passed over. A [Fetcher] brings
// the bytes of one file: it takes a broken download up where it broke, in this process or in a later one, tries again
// when a server fails, and waits as long as a server asks. An [Importer] compares an offer with what a registry has, as a
// [Plan], and carries the plan out through the small [Target] that a registry is to it.
//
// Everything that comes from a server is a stranger's: documents and files are limited in size, only http and https are
// followed, a credential goes to the one host that it is for, and a catalog that came over the network cannot name files
// of this machine.
package upstream
