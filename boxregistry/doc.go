// Package boxregistry holds the words of the box registry: what a box is called, how its versions are ordered, which
// states they go through and what a file of a version is. It does no I/O.
//
// A box has a [Name] "org/box". A [Release] is one version of it: it begins as a draft into which builds publish one
// [File] per provider and architecture, is released when all of them are there, and from then on never changes; it can
// only be revoked, which hides it. Numbers are ordered as Ruby's Gem::Version orders them, because that is what the
// Vagrant client does with them: [Version], [Requirement].
//
// The bytes are in package blob, the rows in package store, the face that Vagrant sees in package vagrantapi.
package boxregistry
