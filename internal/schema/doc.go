// Package schema describes the arguments that a block of a template takes, and checks them.
//
// Each driver, communicator, provisioner and post-processor declares its arguments once, as plain Go structs ("groups")
// whose field tags carry everything there is to say: the name (json), a line of documentation (doc), whether the value
// reaches the guest and so belongs to its fingerprint (guest:"yes" or "no"), and flags (arg): "required", "sensitive",
// "late" for text whose {{ }} actions are rendered while the build runs, "local" for paths of local files, "block" for a
// nested block instead of an attribute. [New] reads the groups by reflection into a [Block]; the template package checks and converts what the user
// wrote against it and hands over canonical JSON, which the owner decodes back into the same structs with encoding/json.
package schema
