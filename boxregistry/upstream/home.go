package upstream

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
)

// vagrantColon stands for a colon in the name of a box, on Windows (lib/vagrant/box_collection.rb).
const vagrantColon = "-VAGRANTCOLON-"

// isHomeBox tells the folder of a box whose name has no slash from other folders: BOX/VERSION/PROVIDER/metadata.json.
func isHomeBox(dir string) bool {
	found, err := filepath.Glob(filepath.Join(globSafe(dir), "*", "*", boxfile.MetadataName))
	return err == nil && len(found) > 0
}

// globSafe quotes what Glob would take for a pattern.
func globSafe(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// homeBox reads a box that Vagrant has unpacked: BOX/VERSION/PROVIDER, and since 2.4 BOX/VERSION/ARCHITECTURE/PROVIDER.
func homeBox(dir string) (Box, []Skipped) {
	name := strings.NewReplacer(vagrantSlash, "/", vagrantColon, ":").Replace(filepath.Base(dir))
	f := folder{root: dir}
	for _, version := range folders(dir) {
		for _, child := range folders(filepath.Join(dir, version)) {
			at := filepath.Join(dir, version, child)
			if _, ok := exists(filepath.Join(at, boxfile.MetadataName)); ok {
				f.unpacked(name, version, child, "", at)
				continue
			}
			for _, provider := range folders(at) {
				if _, ok := exists(filepath.Join(at, provider, boxfile.MetadataName)); ok {
					f.unpacked(name, version, provider, child, filepath.Join(at, provider))
				}
			}
		}
	}
	if len(f.offer.Boxes) == 0 {
		return Box{}, f.offer.Skipped
	}
	return f.offer.Boxes[0], f.offer.Skipped
}

func (f *folder) unpacked(name, version, provider, arch, at string) {
	b, err := fileBox(name, version, provider, arch, Origin{Kind: InFolder, At: at})
	if err != nil {
		f.offer.skip(name+" "+version+" "+provider, err)
		return
	}
	f.merge(b)
}

// folders lists the folders in a folder, without hidden ones; a folder that cannot be read has none.
func folders(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, e.Name())
		}
	}
	return out
}
