// The Residual view: its title.
#include "app/views/residual.h"

namespace headlight::app {

void ResidualView::draw(const ViewContext& c, CommandQueue&) {
  c.ui.text(c.area.min(), TextStyle::display, c.ui.theme().text, c.ui.tr("view.residual"));
}

}  // namespace headlight::app
