package upstream

import (
	"cmp"
	"fmt"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// describe completes a file with what the box itself says, and refuses one that is not what it was offered as.
func (j Job) describe(out *boxregistry.File, f File, taken Taken) error {
	provider := boxregistry.Provider(taken.Summary.Metadata.Provider)
	if f.Provider != "" && f.Provider != provider {
		return fmt.Errorf("it was offered for the provider %s, and its metadata.json says %s", f.Provider, provider)
	}
	arch, err := j.architecture(f, taken.Summary.Metadata.Architecture)
	switch {
	case err != nil:
		return err
	case j.Provider != "" && provider != j.Provider:
		return fmt.Errorf("it is for the provider %s", provider)
	case j.Architecture != "" && arch != j.Architecture:
		return fmt.Errorf("it is for the architecture %s", arch)
	}
	out.Provider, out.Architecture = provider, arch
	out.Digest, out.Size = taken.Info.Digest, taken.Info.Size
	out.UnpackedSize, out.VirtualSize = taken.Summary.Unpacked, taken.Summary.VirtualSize
	return nil
}

// architecture is what the place says, else what the box says, else what the job says of unknown ones.
func (j Job) architecture(f File, inside string) (boxregistry.Architecture, error) {
	var metadata boxregistry.Architecture
	if inside != "" {
		var err error
		if metadata, err = boxregistry.ParseArchitecture(inside); err != nil {
			return "", fmt.Errorf("metadata.json: %w", err)
		}
	}
	said := f.Architecture
	if said == boxregistry.UnknownArchitecture {
		said = ""
	}
	if said != "" && metadata != "" && said != metadata {
		return "", fmt.Errorf("it was offered for the architecture %s, and its metadata.json says %s", said, metadata)
	}
	return cmp.Or(said, metadata, j.UnknownAs, boxregistry.UnknownArchitecture), nil
}
