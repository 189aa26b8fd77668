// Package unbuilt describes the arguments of provisioners that Boxkiln does not run yet, so that templates with them are
// checked in full and their other sources still build. There is no logic here: one that gets built moves to a package
// of its own with its arguments.
package unbuilt

// Blocks are the argument groups of each type.
func Blocks() map[string][]any {
	return map[string][]any{
		"puppet-masterless": {PuppetMasterlessArgs{}, PuppetArgs{}, StagingArgs{}, ElevatedArgs{}},
		"puppet-server":     {PuppetServerArgs{}, PuppetArgs{}, ElevatedArgs{}},
		"ansible":           {AnsibleArgs{}, AnsibleConnectionArgs{}, AnsibleInventoryArgs{}, AnsibleGalaxyArgs{}},
		"ansible-local":     {AnsibleLocalArgs{}, AnsibleLocalRunArgs{}},
		"chef-solo":         {ChefArgs{}, ChefSoloArgs{}, StagingArgs{}},
		"chef-client":       {ChefArgs{}, ChefClientArgs{}, ChefCleanArgs{}, StagingArgs{}, ElevatedArgs{}},
		"salt-masterless":   {SaltFileArgs{}, SaltRunArgs{}},
		"powershell":        {WindowsScriptArgs{}, PowershellArgs{}, ElevatedArgs{}},
		"windows-shell":     {WindowsScriptArgs{}},
		"windows-restart":   {WindowsRestartArgs{}},
		"converge":          {ConvergeArgs{}},
		"inspec":            {InspecArgs{}},
	}
}
