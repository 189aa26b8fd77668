// Package ami makes machine images in Amazon EC2, and removes them. It does not care where a disk came from: a [Maker] makes an
// image of an instance that was provisioned ([Maker.FromInstance]), or of snapshots that somebody wrote ([Maker.FromSnapshots]).
//
// What the image shall be like is a [Wanted], which [Wanted.Check] reads without asking anybody. Before a build does any work,
// [Maker.CheckName] looks whether the name is free. Then, as in Packer: an image of the same name is deregistered if the template
// says so; the image is made in the region of the build and waited for; it is copied to the other regions, all at once; a copy is
// also the only way to encrypt, so an encrypted image begins as an intermediate one under another name, which is removed in the
// end; then images and snapshots are shared, deprecated and protected. Protection comes last, because an image that has a
// cool-down cannot be removed for a day, and a failed build shall leave nothing.
//
// All that is made carries the tags of its owner from the call on that makes it, and calls that may be sent twice make one object:
// by a token where EC2 takes one, by the name of the image otherwise. So whoever cleans up needs to know nothing but the owner
// and the regions: [Maker.Sweep] finds and removes images and snapshots, intermediate ones too. What is handed over to the user is
// marked by [Maker.HandOver]; [Find] tells the one from the other.
//
// EC2 is eventually consistent: what was just made may not be found for seconds. That is waited for here, and never an error.
//
// Sources: EC2 API reference 2016-11-15 (CreateImage, RegisterImage, CopyImage, DeregisterImage, ModifyImageAttribute ...);
// packer-plugin-amazon common/step_{pre_validate,deregister_ami,ami_region_copy,modify_ami_attributes,create_tags}.go and
// common/{ami,snapshot}_config.go for the options and their order.
package ami
