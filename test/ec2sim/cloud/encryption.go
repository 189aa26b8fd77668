package cloud

import "strings"

// defaultKMS is the id of the key that an account has from the beginning in every region, alias/aws/ebs.
const defaultKMS = "key/00000000-0000-4000-8000-0000000000eb"

// kms is the key that a name means in a region, the default key for none.
func (r *region) kms(name string) string {
	prefix := "arn:aws:kms:" + r.name + ":" + Account + ":"
	switch {
	case name == "" || name == "alias/aws/ebs":
		return prefix + defaultKMS
	case strings.HasPrefix(name, "arn:"):
		return name
	case strings.HasPrefix(name, "alias/"):
		return prefix + name
	}
	return prefix + "key/" + name
}

// encryption is the key that a call which copies something wants it encrypted with, which is encrypted with a key until now.
func (c *call) encryption(was string) (string, error) {
	name := c.text("KmsKeyId")
	switch {
	case name != "" && !c.yes("Encrypted"):
		return "", problem("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	case c.yes("Encrypted") || was != "":
		return c.region.kms(name), nil
	}
	return "", nil
}

// shareable tells whether others could read what is encrypted with a key.
func shareable(key string) error {
	if strings.HasSuffix(key, defaultKMS) {
		return problem("InvalidParameter", "Snapshots encrypted with the AWS Managed CMK can't be shared. Specify another snapshot.")
	}
	return nil
}
