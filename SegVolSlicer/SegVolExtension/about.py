"""What Slicer shows of the module in its menus, in Help and in Acknowledgement."""

from slicer.i18n import tr as _
from slicer.i18n import translate

CATEGORIES = [translate("qSlicerAbstractCoreModule", "Segmentation")]

CONTRIBUTORS = ["The SegVol for 3D Slicer contributors"]

HELP_TEXT = _(
    "<p>Segment anything in a CT: click on it, draw a box round it, or type its name.</p>"
    "<ol>"
    "<li>Load a CT, and choose it.</li>"
    "<li><b>Click +</b> and click on a structure in a slice view, or <b>Box</b>, or type names"
    " such as <i>liver, spleen</i> and press Enter. A rough segment appears at once, the final one"
    " soon after.</li>"
    "<li>Click where it is missing (+) or where it is too much (−); undo and redo as you like.</li>"
    "<li><b>Next segment</b> for the next structure. To go on with an earlier one, select it in the"
    " table.</li>"
    "</ol>"
    "<p>It computes on this computer, on its graphics card if it has one, or on a server. The small"
    " weights that come with it (<i>starter</i>) are rough; the published ones are downloaded on"
    " request. <b>For research and annotation, not for clinical use:</b> look at every segment"
    " before you use it.</p>"
)

ACKNOWLEDGEMENT_TEXT = _(
    "<p>The network is SegVol: Du, Y., Bai, F., Huang, T., Zhao, B. <i>SegVol: Universal and"
    " Interactive Volumetric Medical Image Segmentation</i>. NeurIPS 2024, arXiv:2311.13385."
    " Please cite it, and 3D Slicer: Fedorov, A. et al. <i>3D Slicer as an image computing platform"
    " for the Quantitative Imaging Network</i>. Magnetic Resonance Imaging 30(9), 2012.</p>"
    "<p>The starter's training data are listed in its model card, <i>Resources/starter.md</i>.</p>"
)
