# What every machine of this box has.
Vagrant.configure("2") do |config|
  config.vm.network "forwarded_port", guest: 80, host: 8080, auto_correct: true

  config.vm.provider "vmware_desktop" do |vmware|
    vmware.vmx["ethernet0.pcislotnumber"] = "33"
  end
end
