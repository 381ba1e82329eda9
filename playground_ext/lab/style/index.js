import './base.css';
import './display.css';
import './create.css';
import './panel.css';
import './logs.css';
import './charts.css';
import './messages.css';
