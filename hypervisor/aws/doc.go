// Package aws makes machine images in Amazon EC2: an instance is started from an image, provisioned, and becomes an image itself.
//
// There are four kinds of builders. amazon-ebs is built: an instance of an image, and an image of its volumes. Of
// amazon-ebssurrogate, amazon-ebsvolume and amazon-instance the arguments are described only. Arguments are declared in groups;
// [Groups] returns those of a kind, and [Planner] reads them into a Spec without asking anybody. What reaches the guest over a
// communicator is declared by its owner.
//
// [Driver.Create] finds out what the template leaves open (the source image, the subnet, this host's own address) and makes what
// lives before the instance: a key pair of the build's own key and a security group that lets this host alone in. [Machine.Start]
// runs the instance, [Machine.Shutdown] stops it, [Machine.Export] makes the images, by package ami. [Machine.Destroy] leaves none
// of that but the images; [Driver.RemoveImages] removes those of a build that did not succeed.
//
// Whatever exists costs money, so it must be found again however this process ends. Everything is made with the tags of its build
// and machine in the very call that makes it, under names and tokens that follow from the machine's name. What was asked for and
// not yet seen is written beside the machine before the call ([record]): EC2 may not show it for a while, and whoever cleans up
// after a crash has to ask again for that long. [Orphans] finds what carries our tags and belongs to no build.
//
// How the account is reached is the matter of package account, and what happens to images of package ami.
//
// Sources: packer-plugin-amazon common/*_config.go and builder/{ebs,ebssurrogate,ebsvolume,instance} for arguments and the order
// of things; EC2 API reference 2016-11-15.
package aws

// Name is the driver's name in the table of drivers.
const Name = "aws"
